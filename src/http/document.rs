//! The OpenAPI document: what the handlers say of themselves, and what the layers around them add to each of them. Must
//! not describe anything by hand that the code could.

use utoipa::{
    OpenApi as _, ToSchema,
    openapi::{
        ContentBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder, Type,
        header::HeaderBuilder,
        path::{Operation, ParameterBuilder, ParameterIn, PathItem},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::{authentication::USER, idempotency, problem::Told, responses};

/// What holds for the whole.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Pointsman",
        description = "Blue-green deployments: what is live, what is on its way, and what people ask for. \
                       Whatever is refused is a problem (RFC 9457) that says what is wrong and what to do.",
    ),
    tags(
        (name = "looking", description = "How things are, and what happened"),
        (name = "acting", description = "What people ask for"),
        (name = "access", description = "Who may come in: people, sessions, tokens"),
        (name = "builds", description = "What build servers announce"),
        (name = "service", description = "The service itself"),
    ),
    components(schemas(Told, responses::Record, responses::Event, responses::State, responses::Why, responses::End)),
)]
struct Whole;

/// The document without any path.
pub(super) fn empty() -> OpenApi {
    let mut api = Whole::openapi();
    let components = api.components.get_or_insert_default();
    let bearer = |what: &str| {
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(what)).build())
    };
    components.add_security_scheme("token", bearer("A person's or a script's token"));
    components.add_security_scheme("webhook", bearer("A key of the pipeline, where the sender cannot sign"));
    for (name, why) in RESPONSES {
        components.responses.insert((*name).to_owned(), RefOr::T(problem(name, why)));
    }
    api
}

/// Responses of the layers, by name.
const RESPONSES: &[(&str, &str)] = &[
    ("BadRequest", "Something in it cannot be read, or is not within its limits"),
    ("Unauthorised", "It is not proven who asks"),
    ("Forbidden", "The token's role is too small, its scope another one, or the gate is for others to open"),
    ("NotFound", "There is no such thing"),
    ("TooSlow", "The body did not arrive in time"),
    ("TooLarge", "The body is too large"),
    ("TooMany", "Too many of these; ask again after `Retry-After`"),
    ("Defect", "A defect; the log says more"),
    ("Unavailable", "The controller is going away, or cannot look now; ask again"),
    ("Full", "The disk with the state folder is full; nothing was recorded"),
];

fn problem(name: &str, why: &str) -> Response {
    let seconds = || ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).build();
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Told::name()))).build();
    let response = ResponseBuilder::new().description(why).content("application/problem+json", content);
    match name {
        "TooMany" | "Unavailable" | "Full" => {
            let again = HeaderBuilder::new().schema(Some(seconds())).description(Some("In so many seconds")).build();
            response.header("retry-after", again).build()
        }
        _ => response.build(),
    }
}

/// What the layer for who asks adds.
pub(super) fn asks_who(api: &mut OpenApi) {
    each(api, |_, operation| {
        operation.security = Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
        add(operation, &[("400", "BadRequest"), ("401", "Unauthorised"), ("403", "Forbidden")]);
        add(operation, &[("429", "TooMany"), ("503", "Unavailable")]);
        let user = "Who asks, when the token is the one of the controller's own host";
        let schema = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(64));
        let schema = schema.pattern(Some("^[!-9;-~]+$")).build();
        header(operation, USER, user, schema);
    });
}

/// Adds the header and responses of the layer for idempotency keys.
pub(super) fn asked_once(api: &mut OpenApi) {
    each(api, |_, operation| {
        let what =
            "Any text of your own: the same request with the same key is done once, and answered with the same answer";
        let schema = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
        let schema = schema.max_length(Some(idempotency::LONGEST)).pattern(Some("^[!-~]+$")).build();
        header(operation, idempotency::HEADER, what, schema);
        add(operation, &[("507", "Full")]);
    });
}

/// What is held to what was shown.
pub(super) fn held_to_what_was_shown(api: &mut OpenApi) {
    each(api, |_, operation| {
        let what =
            "The `ETag` of what was shown, or `*`: when something of it that matters has changed, nothing is done";
        header(operation, "if-match", what, ObjectBuilder::new().schema_type(Type::String).build());
    });
}

/// What the outermost layers add, to everything; bodies that may be left out.
pub(super) fn finish(api: &mut OpenApi) {
    const NEEDED: [&str; 16] = [
        "/stacks/retire",
        "/restart",
        "/deploy",
        "/adopt",
        "/rollback",
        "/pin",
        "/veto",
        "/hooks/{pipeline}",
        "/tokens",
        "/tokens/revoke",
        "/people/sign-out",
        "/people/add",
        "/people/grant",
        "/people/password",
        "/people/remove",
        "/sessions/end",
    ];
    each(api, |path, operation| {
        add(operation, &[("500", "Defect")]);
        if path.contains('{') {
            add(operation, &[("404", "NotFound")]);
        }
        if let Some(RefOr::T(body)) = &mut operation.request_body {
            let needed = NEEDED.iter().any(|end| path.ends_with(end));
            body.required = Some(if needed { Required::True } else { Required::False });
            add(operation, &[("400", "BadRequest"), ("408", "TooSlow"), ("413", "TooLarge")]);
        }
        if path.starts_with("/v1/hooks/") {
            add(operation, &[("401", "Unauthorised"), ("429", "TooMany"), ("503", "Unavailable"), ("507", "Full")]);
        }
    });
}

fn add(operation: &mut Operation, responses: &[(&str, &str)]) {
    for (status, name) in responses {
        let known = operation.responses.responses.entry((*status).to_owned());
        known.or_insert_with(|| RefOr::Ref(Ref::from_response_name(*name)));
    }
}

fn header(operation: &mut Operation, name: &str, what: &str, schema: utoipa::openapi::Object) {
    let header = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header).description(Some(what));
    let header = header.required(Required::False).schema(Some(schema)).build();
    operation.parameters.get_or_insert_default().push(RefOr::T(header));
}

fn each(api: &mut OpenApi, change: impl Fn(&str, &mut Operation)) {
    for (path, item) in &mut api.paths.paths {
        let PathItem { get, post, .. } = item;
        get.iter_mut().chain(post).for_each(|operation| change(path, operation));
    }
}

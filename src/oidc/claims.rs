//! What a provider says, and the types that it is read into. Must not decide whether it is believed.

use std::sync::Arc;

use openidconnect::{
    AdditionalClaims, AdditionalProviderMetadata, AuthType, Client, ClientId, ClientSecret, EmptyExtraTokenFields,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, IdToken, IdTokenClaims, IdTokenFields, ProviderMetadata,
    StandardErrorResponse, StandardTokenResponse, UserInfoClaims,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreErrorResponseType,
        CoreGenderClaim, CoreGrantType, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm,
        CoreJweKeyManagementAlgorithm, CoreJwsSigningAlgorithm, CoreResponseMode, CoreResponseType, CoreRevocableToken,
        CoreRevocationErrorResponse, CoreSubjectIdentifierType, CoreTokenIntrospectionResponse, CoreTokenType,
    },
    url::Url,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Failure;
use crate::access::openid::shown_name;

/// What providers say of themselves besides what every one does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct More {
    end_session_endpoint: Option<Url>,
    authorization_response_iss_parameter_supported: Option<bool>,
}
impl AdditionalProviderMetadata for More {}

pub(super) type Metadata = ProviderMetadata<
    More,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// The claims that the specification does not know, such as groups.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Others {
    #[serde(flatten)]
    pub(super) all: Map<String, Value>,
}
impl AdditionalClaims for Others {}

pub(super) type Claims = IdTokenClaims<Others, CoreGenderClaim>;
pub(super) type UserInfo = UserInfoClaims<Others, CoreGenderClaim>;
pub(super) type Token = IdToken<Others, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;
type Fields = IdTokenFields<
    Others,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
pub(super) type Tokens = StandardTokenResponse<Fields, CoreTokenType>;

pub(super) type Asker = Client<
    Others,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Returns who asks this provider. The secret goes into a header, unless the provider says that it reads it in the form only.
pub(super) fn client(metadata: &Metadata, id: &str, secret: Option<&SecretString>) -> Asker {
    let secret = secret.map(|secret| ClientSecret::new(secret.expose_secret().to_owned()));
    let client = Client::from_provider_metadata(metadata.clone(), ClientId::new(id.to_owned()), secret);
    let takes = |method| metadata.token_endpoint_auth_methods_supported().is_some_and(|all| all.contains(&method));
    let form = !takes(CoreClientAuthMethod::ClientSecretBasic) && takes(CoreClientAuthMethod::ClientSecretPost);
    client.set_auth_type(if form { AuthType::RequestBody } else { AuthType::BasicAuth })
}

/// Returns where a browser signs out of the provider.
pub(super) fn end_of_session(metadata: &Metadata) -> Option<&Url> {
    metadata.additional_metadata().end_session_endpoint.as_ref()
}

/// Returns whether every answer of the provider says whose it is.
pub(super) fn says_who_answers(metadata: &Metadata) -> bool {
    metadata.additional_metadata().authorization_response_iss_parameter_supported == Some(true)
}

/// Returns what the person is called. None of it says who they are: they may be able to change all of it.
pub(super) fn name(claims: &Claims) -> Arc<str> {
    let told = [
        claims.preferred_username().map(|name| name.as_str()),
        claims.email().map(|email| email.as_str()),
        claims.name().and_then(|name| name.get(None)).map(|name| name.as_str()),
    ];
    let told = told.into_iter().flatten().find(|name| !name.trim().is_empty());
    shown_name(told.unwrap_or(claims.subject().as_str()))
}

/// Returns the groups that a claim has: a list of texts, or a text that is the only one. `None`: there is no such claim.
///
/// # Errors
/// That it is neither, or that the provider has left them out.
pub(super) fn groups(all: &Map<String, Value>, claim: &str) -> Result<Option<Vec<Arc<str>>>, Failure> {
    let Some(found) = find(all, claim) else {
        return match all.get("_claim_names").and_then(|names| names.get(claim)) {
            Some(_) => Err(Failure::Untrusted(format!(
                "it leaves `{claim}` out, because they are too many for a token (`_claim_names`): let it send only the groups \
                 that are assigned to this application"
            ))),
            None => Ok(None),
        };
    };
    let list = match found {
        Value::String(one) => Some(vec![one.as_str().into()]),
        Value::Array(list) => list.iter().map(|one| one.as_str().map(Arc::from)).collect(),
        _ => None,
    };
    match list {
        Some(list) => Ok(Some(list)),
        None => Err(Failure::Untrusted(format!("its claim `{claim}` is not a list of texts"))),
    }
}

/// Finds a claim by its name, or by a JSON pointer (RFC 6901), which begins with `/`.
fn find<'a>(all: &'a Map<String, Value>, claim: &str) -> Option<&'a Value> {
    let Some(path) = claim.strip_prefix('/') else { return all.get(claim) };
    let mut steps = path.split('/').map(|step| step.replace("~1", "/").replace("~0", "~"));
    let first = all.get(&steps.next()?)?;
    steps.try_fold(first, |value, step| value.get(step))
}

/// Returns what claims there are, without what they say.
pub(super) fn names(all: &Map<String, Value>) -> Vec<String> {
    all.keys().cloned().collect()
}

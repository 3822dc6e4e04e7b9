//! What addresses name: an environment, a deployment. Must not know what is asked of them.

use std::sync::Arc;

use serde::Deserialize;
use utoipa::IntoParams;

use super::{App, Problem};
use crate::pipelines::EnvironmentDefinition;

/// An environment.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct Place {
    /// The name of the pipeline.
    #[param(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length = 40, example = "shop")]
    pipeline: String,
    /// The name of the environment.
    #[param(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length = 40, example = "prod")]
    environment: String,
}

impl Place {
    /// The environment, if there is one of this name.
    pub(super) fn find(&self, app: &App) -> Result<Arc<EnvironmentDefinition>, Problem> {
        app.environment(&self.pipeline, &self.environment)
    }
}

/// A deployment of an environment.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfDeployment {
    /// The name of the pipeline.
    #[param(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length = 40, example = "shop")]
    pipeline: String,
    /// The name of the environment.
    #[param(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length = 40, example = "prod")]
    environment: String,
    /// Its number.
    #[param(maximum = 4_294_967_295_u32, example = 7)]
    number: u32,
}

impl OfDeployment {
    /// The environment, if there is one of this name, and the number.
    pub(super) fn find(&self, app: &App) -> Result<(Arc<EnvironmentDefinition>, u32), Problem> {
        Ok((app.environment(&self.pipeline, &self.environment)?, self.number))
    }
}

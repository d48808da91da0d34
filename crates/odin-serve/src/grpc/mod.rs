//! The Open Inference Protocol over gRPC, on the port of HTTP: `inference.GRPCInferenceService`,
//! with health (`grpc.health.v1`) and reflection. Each method is a route like any other.

mod call;
mod codec;
mod health;
mod infer;
mod messages;

use crate::error::{Error, ErrorKind};
use crate::infer::{TensorKind, all_inputs, all_outputs};
use crate::refusal::{Reason, Refusal};
use crate::shared::Shared;
use axum::Router;
use axum::routing::post;
use call::unary;
use messages::{
    Empty, Flag, ModelMetadataResponse, OfModel, ServerMetadataResponse, TensorMetadata,
};
use std::sync::Arc;
use tonic_health::pb::health_server::HealthServer;

/// `proto/open_inference.proto`, compiled.
const DESCRIPTOR: &[u8] = include_bytes!("../../proto/descriptor.bin");

/// The name of the service.
const SERVICE: &str = "inference.GRPCInferenceService";

/// What nobody needs a token for.
pub(crate) const OPEN: &str = "/grpc.health.v1.Health/";

/// The routes of gRPC.
///
/// # Errors
/// When the descriptor of the protocol cannot be read.
pub(crate) fn routes(shared: &Arc<Shared>) -> Result<Router<Arc<Shared>>, Error> {
    let unreadable =
        |e| Error::new(ErrorKind::Options, "the descriptor of gRPC cannot be read").because(e);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTOR)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let health = HealthServer::new(health::Health::new(Arc::clone(&shared.service)));
    let method = |name: &str| format!("/{SERVICE}/{name}");
    Ok(Router::new()
        .route(&method("ServerLive"), post(unary(server_live)))
        .route(&method("ServerReady"), post(unary(server_ready)))
        .route(&method("ModelReady"), post(unary(model_ready)))
        .route(&method("ServerMetadata"), post(unary(server_metadata)))
        .route(&method("ModelMetadata"), post(unary(model_metadata)))
        .route(&method("ModelInfer"), post(unary(infer::infer)))
        .route_service("/grpc.health.v1.Health/{method}", health)
        .route_service(
            "/grpc.reflection.v1.ServerReflection/{method}",
            reflection().build_v1().map_err(unreadable)?,
        )
        .route_service(
            "/grpc.reflection.v1alpha.ServerReflection/{method}",
            reflection().build_v1alpha().map_err(unreadable)?,
        ))
}

async fn server_live(_: Arc<Shared>, _: Empty) -> Result<Flag, Refusal> {
    Ok(Flag { value: true })
}

async fn server_ready(shared: Arc<Shared>, _: Empty) -> Result<Flag, Refusal> {
    Ok(Flag {
        value: shared.service.is_ready(),
    })
}

async fn model_ready(shared: Arc<Shared>, of: OfModel) -> Result<Flag, Refusal> {
    let found = shared
        .service
        .detectors
        .find(Some(&of.name), version(&of.version));
    match found {
        Ok(_) => server_ready(shared, Empty {}).await,
        Err(refusal) if refusal.reason == Reason::NotFound => Ok(Flag { value: false }),
        Err(refusal) => Err(refusal),
    }
}

async fn server_metadata(_: Arc<Shared>, _: Empty) -> Result<ServerMetadataResponse, Refusal> {
    Ok(ServerMetadataResponse {
        name: "odin".to_string(),
        version: env!("CARGO_PKG_VERSION").to_string(),
        extensions: Vec::new(),
    })
}

async fn model_metadata(
    shared: Arc<Shared>,
    of: OfModel,
) -> Result<ModelMetadataResponse, Refusal> {
    let served = shared
        .service
        .detectors
        .find(Some(&of.name), version(&of.version))?;
    Ok(ModelMetadataResponse {
        name: served.info.name.clone(),
        versions: vec![served.info.version.clone()],
        platform: "odin".to_string(),
        inputs: all_inputs(&served).into_iter().map(metadata).collect(),
        outputs: all_outputs(&served).into_iter().map(metadata).collect(),
    })
}

fn metadata(kind: TensorKind) -> TensorMetadata {
    TensorMetadata {
        name: kind.name,
        datatype: kind.datatype.name().to_string(),
        shape: kind.shape,
    }
}

/// An empty version is any.
fn version(version: &str) -> Option<&str> {
    (!version.is_empty()).then_some(version)
}

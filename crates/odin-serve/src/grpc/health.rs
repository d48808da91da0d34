//! `grpc.health.v1.Health`: the service as a whole, and `inference.GRPCInferenceService`.

use super::SERVICE;
use crate::service::Service;
use futures_util::stream::{self, BoxStream, StreamExt};
use std::sync::Arc;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_server};

#[derive(Debug)]
pub(super) struct Health {
    service: Arc<Service>,
}

impl Health {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self { service }
    }
}

fn known(request: &HealthCheckRequest) -> bool {
    ["", SERVICE].contains(&request.service.as_str())
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

fn of_readiness(is_ready: bool) -> HealthCheckResponse {
    response(match is_ready {
        true => ServingStatus::Serving,
        false => ServingStatus::NotServing,
    })
}

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match known(request.get_ref()) {
            true => Ok(Response::new(of_readiness(self.service.is_ready()))),
            false => Err(Status::not_found("there is no such service")),
        }
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    /// The status now, and that of the end, with which the stream ends, so that no connection is
    /// kept open by those who watch.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        if !known(request.get_ref()) {
            let unknown = stream::iter([Ok(response(ServingStatus::ServiceUnknown))]);
            return Ok(Response::new(unknown.boxed()));
        }
        let now = stream::iter([Ok(of_readiness(self.service.is_ready()))]);
        let service = Arc::clone(&self.service);
        let end = stream::once(async move {
            service.ended().await;
            Ok(of_readiness(false))
        });
        Ok(Response::new(now.chain(end).boxed()))
    }
}

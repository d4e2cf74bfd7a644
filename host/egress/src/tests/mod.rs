//! The client against real servers on this machine. What each group is about: `sending` is what leaves,
//! `answers` is what comes back, `connecting` is TLS and proxies.

mod answers;
mod connecting;
mod sending;
mod server;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use secrecy::SecretString;

use super::{ApiClient, ApiClientSettings, EgressError, Origin, ProxySettings, ResponseBody};

/// Longest that a test may take. Far above what any needs: it only keeps a broken one from hanging.
const BOUND: Duration = Duration::from_secs(30);

/// Short enough to be waited for in a test whose server never goes on.
const SOON: Duration = Duration::from_millis(50);

async fn bounded<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, test).await.unwrap()
}

/// Settings for a server on this machine: the leave for it, a token, no proxy.
fn settings(base_url: &str) -> ApiClientSettings {
    ApiClientSettings {
        addresses: true.into(),
        token: Some(SecretString::from("t0ken")),
        proxy: ProxySettings::None,
        ..ApiClientSettings::new(Origin::parse(base_url, true).unwrap())
    }
}

fn client(base_url: &str) -> ApiClient {
    ApiClient::new(settings(base_url)).unwrap()
}

fn get(url: &str) -> Request<Empty<Bytes>> {
    Request::get(url).body(Empty::new()).unwrap()
}

async fn whole(answer: Result<Response<ResponseBody>, EgressError>) -> Result<Bytes, EgressError> {
    Ok(answer?.into_body().collect().await?.to_bytes())
}

/// Sends a GET for the base URL and reads the answer to its end.
async fn fetch(settings: ApiClientSettings) -> Result<Bytes, EgressError> {
    let url = settings.origin.to_string();
    let client = ApiClient::new(settings)?;
    bounded(async { whole(client.send(get(&url)).await).await }).await
}

async fn failure(settings: ApiClientSettings) -> EgressError {
    let error = fetch(settings).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("t0ken"));
    error
}

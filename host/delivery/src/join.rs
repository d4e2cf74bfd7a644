//! Several deliveries at the same time.

use futures_util::future::join_all;

use crate::error::SendError;

/// Drives all futures to their end, at the same time; the first error in their order.
pub(crate) async fn all<F>(futures: impl Iterator<Item = F>) -> Result<(), SendError>
where
    F: Future<Output = Result<(), SendError>>,
{
    join_all(futures).await.into_iter().collect()
}

//! Pictures at other servers: whether there is one is asked elsewhere, and what was learnt is kept there.

use async_trait::async_trait;

/// Knows which addresses lead to a picture.
#[async_trait]
pub trait Pictures: Send + Sync {
    /// What is known of an address without asking anybody; none when nothing is. What is not known is then asked for in
    /// the background.
    fn look(&self, address: &str) -> Option<bool>;

    /// Asks for what is not known of these addresses, all at once and for a short time.
    async fn settle(&self, addresses: &[String]);
}

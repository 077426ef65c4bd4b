//! Time and randomness as arguments: production uses the system's, tests fix both.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// The current instant, UTC.
    fn now(&self) -> DateTime<Utc>;
}

/// Gives random values fit for keys and tokens.
pub trait Random: Send + Sync + 'static {
    /// Fills the buffer from a cryptographically secure source.
    fn fill(&self, buffer: &mut [u8]);

    /// A random (version 4) UUID.
    fn uuid(&self) -> Uuid {
        let mut bytes = [0u8; 16];
        self.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// A random text of letters and digits without modulo bias; 5.95 bits per character.
    fn text(&self, length: usize) -> String {
        const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let mut out = String::with_capacity(length);
        let mut buffer = [0u8; 64];
        while out.len() < length {
            self.fill(&mut buffer);
            for byte in buffer {
                // 248 is the largest multiple of 62 in a byte; anything above would favour the first letters.
                if byte < 248
                    && out.len() < length
                    && let Some(letter) = LETTERS.get(usize::from(byte % 62))
                {
                    out.push(char::from(*letter));
                }
            }
        }
        out
    }
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// The operating system's random source.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads system randomness")]
    fn fill(&self, buffer: &mut [u8]) {
        use rand::Rng as _;
        rand::rng().fill_bytes(buffer);
    }
}

//! Certificates and keys as OpenSSL makes them, and chains made on the spot.

mod chain;
mod jws;
mod reading;
mod seal;

/// A file that OpenSSL made.
macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("fixtures/", $name))
    };
}
use fixture;

//! The public identifier of a user.

use sha2::{Digest, Sha256};

/// SHA-256 hex of `<id>-<install id>`: stable for the life of the installation, and says nothing about the number of
/// users.
#[must_use]
pub fn user_uid(id: i64, install_id: &str) -> String {
    crate::hex::encode(&Sha256::digest(format!("{id}-{install_id}")))
}

#[cfg(test)]
mod tests {
    use super::user_uid;

    #[test]
    fn the_uid_is_the_digest_of_id_and_installation() {
        // printf '42-3c4f5a' | sha256sum
        assert_eq!(user_uid(42, "3c4f5a"), "d3a9e9fe3a56a688ed20606ff964582652dd9957c2fd4caaa1f8f02482c0ddab");
        assert_ne!(user_uid(42, "3c4f5a"), user_uid(43, "3c4f5a"));
    }
}

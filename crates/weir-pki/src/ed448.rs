//! Ed448 keys (RFC 8032) in the forms of RFC 8410; the TLS library knows none of this.

use crate::PkiError;
use ed448_goldilocks::SigningKey;

/// Length of private and public keys.
pub(crate) const LENGTH: usize = 57;

/// What comes before the private key in PKCS #8: version 0, algorithm 1.3.101.113, the octet strings around the key.
const PKCS8: [u8; 16] =
    [0x30, 0x47, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x71, 0x04, 0x3b, 0x04, 0x39];

/// A private key from its random bytes.
///
/// # Errors
/// When they are not 57.
pub(crate) fn from_seed(seed: &[u8]) -> Result<SigningKey, PkiError> {
    SigningKey::try_from(seed).map_err(|_| PkiError::UnsupportedKey)
}

/// The key in PKCS #8 bytes; none when they hold a key of another kind.
///
/// # Errors
/// When the key has another form than this one.
pub(crate) fn read(pkcs8: &[u8]) -> Result<Option<SigningKey>, PkiError> {
    let Some((head, seed)) = pkcs8.split_at_checked(PKCS8.len()) else { return Ok(None) };
    if head != PKCS8 {
        return Ok(None);
    }
    from_seed(seed).map(Some)
}

/// The key as PKCS #8.
pub(crate) fn write(seed: &[u8]) -> Vec<u8> {
    [PKCS8.as_slice(), seed].concat()
}

/// Turns the identifiers of Ed25519 in a certificate into those of Ed448; they differ in one byte. `count` is how many
/// there are: two in the part that is signed, three in the whole.
pub(crate) fn rename(der: &mut [u8], count: usize) -> Option<()> {
    const FROM: [u8; 7] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
    let places: Vec<usize> =
        der.windows(FROM.len()).enumerate().filter(|(_, w)| *w == FROM).map(|(at, _)| at + FROM.len() - 1).collect();
    if places.len() != count {
        return None;
    }
    for place in places {
        *der.get_mut(place)? = 0x71;
    }
    Some(())
}

//! DER as makers of authenticators write it.

/// An element in bytes.
pub(crate) fn write(head: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![head];
    if length < 0x80 {
        out.push(u8::try_from(length).unwrap());
    } else {
        let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
        out.push(0x80 | u8::try_from(bytes.len()).unwrap());
        out.extend(bytes);
    }
    out.extend(content);
    out
}

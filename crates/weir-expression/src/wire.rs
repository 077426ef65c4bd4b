//! The messages between the pool and a worker: a length in four bytes (little endian), then the encoded message.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Call, ContextVariable, EvalError, Limits, LogLine, Raise, SyntaxProblem, Value};

/// The largest message either side accepts.
pub const MAX_FRAME: usize = 32 * 1024 * 1024;

/// Exit code of a worker that reached its hard memory limit.
pub const EXIT_OUT_OF_MEMORY: i32 = 65;

/// From the pool to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToWorker {
    /// Run an expression.
    Run {
        /// The source.
        source: String,
        /// The variables under clean names.
        variables: Vec<(String, Value)>,
        /// The dictionary that may change.
        context: Option<ContextVariable>,
        /// What the run may use.
        limits: Limits,
    },
    /// Look at a source without running it.
    Check {
        /// The source.
        source: String,
        /// What the compilation may use.
        limits: Limits,
    },
    /// The host's answer.
    Answer(Result<Value, Raise>),
}

/// From a worker to the pool.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromWorker {
    /// The expression reads an attribute; an [`ToWorker::Answer`] is due.
    Attribute {
        /// The object's handle.
        object: String,
        /// The attribute.
        name: String,
    },
    /// The expression calls something; an [`ToWorker::Answer`] is due.
    Call(Call),
    /// A text of `ak_message`.
    Message(String),
    /// A line of the logger.
    Log(LogLine),
    /// The run is over and the worker ready for the next one.
    Done {
        /// The returned value or why there is none.
        result: Result<Value, EvalError>,
        /// The dictionary as it is now.
        context: Option<Value>,
    },
    /// The answer to [`ToWorker::Check`].
    Checked(Result<(), SyntaxProblem>),
}

/// Encodes a message with its length. The error has the kind `InvalidInput`.
pub fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let invalid = |text: &str| io::Error::new(io::ErrorKind::InvalidInput, text);
    let mut frame = postcard::to_extend(message, vec![0; 4]).map_err(|_| invalid("value is nested too deeply"))?;
    let length = frame.len().saturating_sub(4);
    if length > MAX_FRAME {
        return Err(invalid("value is too large"));
    }
    let length = u32::try_from(length).map_err(|_| invalid("value is too large"))?;
    for (byte, value) in frame.iter_mut().zip(length.to_le_bytes()) {
        *byte = value;
    }
    Ok(frame)
}

/// Decodes a message without its length.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    let (message, rest) =
        postcard::take_from_bytes(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    if rest.is_empty() { Ok(message) } else { Err(io::Error::new(io::ErrorKind::InvalidData, "trailing bytes")) }
}

/// Checks a length read from the pipe.
pub fn frame_length(prefix: [u8; 4]) -> io::Result<usize> {
    let length = usize::try_from(u32::from_le_bytes(prefix)).map_err(io::Error::other)?;
    if length > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "message is too large"));
    }
    Ok(length)
}

/// Writes a message, blocking.
pub fn write<T: Serialize>(output: &mut impl Write, message: &T) -> io::Result<()> {
    output.write_all(&encode(message)?)?;
    output.flush()
}

/// Reads a message, blocking; `None` at the end of the input.
pub fn read<T: DeserializeOwned>(input: &mut impl Read) -> io::Result<Option<T>> {
    let mut prefix = [0; 4];
    match input.read_exact(&mut prefix) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut bytes = vec![0; frame_length(prefix)?];
    input.read_exact(&mut bytes)?;
    decode(&bytes).map(Some)
}

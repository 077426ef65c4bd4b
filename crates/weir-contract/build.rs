//! Packs the contract and the description of our own operations: the whole documents compressed, and plain tables of
//! their operations that cost little to read.

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    pack("contract.json", &out, "operations.tsv")?;
    pack("extensions.json", &out, "extensions.tsv")
}

fn pack(file: &str, out: &Path, operations: &str) -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={file}");
    let text = fs::read(file)?;
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&text)?;
    fs::write(out.join(format!("{file}.gz")), packed.finish()?)?;

    let document: Value = serde_json::from_slice(&text)?;
    let shared = document.pointer("/components/parameters").cloned().unwrap_or_default();
    let mut table = String::new();
    for (path, item) in document.get("paths").and_then(Value::as_object).ok_or("no paths")? {
        for (method, operation) in item.as_object().ok_or("a path is no object")? {
            if !["get", "post", "put", "patch", "delete"].contains(&method.as_str()) {
                continue;
            }
            let id = operation.get("operationId").and_then(Value::as_str).ok_or("an operation without id")?;
            let public = operation
                .get("security")
                .and_then(Value::as_array)
                .is_some_and(|all| all.iter().any(|one| one.as_object().is_some_and(serde_json::Map::is_empty)));
            let none = Vec::new();
            let query: Vec<String> = operation
                .get("parameters")
                .and_then(Value::as_array)
                .unwrap_or(&none)
                .iter()
                .filter_map(|parameter| query_parameter(parameter, &shared))
                .collect();
            let access = if public { "public" } else { "closed" };
            writeln!(table, "{id}\t{}\t{path}\t{access}\t{}", method.to_uppercase(), query.join(" "))?;
        }
    }
    fs::write(out.join(operations), table)?;
    Ok(())
}

/// The name of a query parameter, with `!` behind it when it is required.
fn query_parameter(parameter: &Value, shared: &Value) -> Option<String> {
    let parameter = match parameter.get("$ref").and_then(Value::as_str) {
        Some(reference) => shared.get(reference.rsplit('/').next()?)?,
        None => parameter,
    };
    if parameter.get("in")?.as_str()? != "query" {
        return None;
    }
    let required = parameter.get("required").and_then(Value::as_bool).unwrap_or(false);
    Some(format!("{}{}", parameter.get("name")?.as_str()?, if required { "!" } else { "" }))
}

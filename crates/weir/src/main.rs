//! The program `weir`; everything it does is in the library beside it.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: weir_expression_worker::CountingAllocator = weir_expression_worker::CountingAllocator;

fn main() -> ExitCode {
    weir::cli::main()
}

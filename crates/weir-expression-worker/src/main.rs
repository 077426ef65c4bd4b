//! The worker as a program of its own; the server's binary contains the same under a hidden subcommand.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: weir_expression_worker::CountingAllocator = weir_expression_worker::CountingAllocator;

fn main() -> ExitCode {
    weir_expression_worker::main_loop()
}

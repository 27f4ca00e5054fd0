use std::process::ExitCode;

fn main() -> ExitCode {
    salvor::cli::main()
}

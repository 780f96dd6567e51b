// Notes the versions of compiler and runtime for `--version`.
use std::{env, fs, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=Cargo.lock");
    let compiler = Command::new(env::var("RUSTC").unwrap()).arg("--version").output().unwrap();
    let compiler = String::from_utf8(compiler.stdout).unwrap();
    let compiler = compiler.split_whitespace().nth(1).unwrap();
    let lock = fs::read_to_string("Cargo.lock").unwrap();
    let tokio = lock.split("name = \"tokio\"\nversion = \"").nth(1).unwrap();
    let tokio = tokio.split('"').next().unwrap();
    println!("cargo:rustc-env=RUNTIME=Rust {compiler}, Tokio {tokio}");
}

//! In a release the pages and the SDK are part of the binary, so it is built again when they change. A debug build reads them
//! from disk while it runs, and a watched path that is not there would rebuild the relay every time.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rerun-if-changed=../npm/dist");
        println!("cargo::rerun-if-changed=../examples/demo");
        println!("cargo::rerun-if-changed=../dashboard");
    }
}

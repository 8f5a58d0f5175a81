//! Tells a check which version of its client the lock file has, as `CHECKED_VERSION`.

fn main() {
    println!("cargo::rerun-if-changed=../Cargo.lock");
    let client = std::env::var("CARGO_PKG_NAME").unwrap().replace("-check", "");
    let lock = std::fs::read_to_string("../Cargo.lock").unwrap();
    let after = lock.split_once(&format!("name = \"{client}\"\nversion = \"")).unwrap().1;
    println!("cargo::rustc-env=CHECKED_VERSION={}", after.split_once('"').unwrap().0);
}

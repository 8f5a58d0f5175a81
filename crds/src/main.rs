//! Prints what is made from the types: the CustomResourceDefinition, or with `reference` the page
//! that describes it.

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("reference") => print!("{}", poolwright_crds::reference::markdown()),
        _ => print!("{}", poolwright_crds::yaml::poolerclusters()),
    }
}

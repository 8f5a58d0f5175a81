//! Prints the CustomResourceDefinition: `cargo run -p poolwright-crds > crds/poolerclusters.yaml`.

fn main() {
    print!("{}", poolwright_crds::yaml::poolerclusters());
}

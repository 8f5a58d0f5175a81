//! Where the operator's own pods are, what their install is called, and by what labels others know
//! them. It asks no cluster.

use std::{collections::BTreeMap, str::FromStr};

/// The namespace of the operator's pods and their labels. Without labels: all pods of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Home {
    pub namespace: String,
    /// The name of the install, unique in its namespace.
    pub install: String,
    pub labels: Labels,
}

/// Labels written like `key=value,key=value`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(pub BTreeMap<String, String>);

impl FromStr for Labels {
    type Err = String;

    fn from_str(text: &str) -> Result<Labels, String> {
        let pair = |pair: &str| {
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                format!("found {pair:?}, expected labels: write them like key=value,key=value")
            })?;
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        };
        let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
        pairs.map(pair).collect::<Result<_, _>>().map(Labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_and_a_word_alone_is_refused() {
        let labels: Labels = "a/b=c, d=".parse().unwrap();
        let expect = [("a/b", "c"), ("d", "")].map(|(key, value)| (key.into(), value.into()));
        assert_eq!(labels, Labels(expect.into()));
        assert_eq!("".parse(), Ok(Labels::default()));
        assert!("a=b,c".parse::<Labels>().unwrap_err().contains("found \"c\""));
    }
}

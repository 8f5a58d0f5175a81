//! What is counted: the objects of a kind in a namespace or in all, that carry certain labels.
//! It counts nothing itself.

use std::collections::BTreeSet;

use kube::core::{Expression, Selector};
use poolwright_crds::{LabelSelector, Namespaces, Operator, Requirement, TenantSelector};

use crate::rights::Rule;

/// Where one watch looks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub api_version: String,
    pub kind: String,
    /// None: in all namespaces.
    pub namespace: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub place: Place,
    pub selector: Selector,
}

/// How many objects there are, or why that is not known.
pub type Count = Result<u64, Uncounted>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uncounted {
    /// They have not all been listed yet.
    Pending,
    /// The API server has no such kind.
    NotServed,
    /// The kind cannot be watched.
    Unwatchable,
    /// Its objects belong to no namespace, and those of one were asked for.
    InNoNamespace,
    /// The operator was not installed to look into all namespaces.
    NotAllowed,
    /// The operator has no right to list and watch it.
    Denied(Rule),
    /// One PoolerCluster may count no more than so many kinds.
    TooManyKinds(usize),
    /// So many places are watched already.
    Full(usize),
    /// The API server answered something else.
    Failed(String),
}

impl Subject {
    pub fn of(from: &TenantSelector, own: &str) -> Subject {
        let TenantSelector { api_version, kind, namespaces, label_selector } = from;
        let namespace = match namespaces {
            Namespaces::Own => Some(own.to_owned()),
            Namespaces::All => None,
        };
        let place = Place { api_version: api_version.clone(), kind: kind.clone(), namespace };
        Subject { place, selector: selector(label_selector) }
    }

    /// The names of the labels by which it selects.
    pub fn labels(&self) -> BTreeSet<String> {
        let name = |expression: Expression| match expression {
            Expression::In(name, _)
            | Expression::NotIn(name, _)
            | Expression::Equal(name, _)
            | Expression::NotEqual(name, _)
            | Expression::Exists(name)
            | Expression::DoesNotExist(name) => name,
        };
        self.selector.clone().into_iter().map(name).collect()
    }
}

fn selector(from: &LabelSelector) -> Selector {
    let LabelSelector { match_labels, match_expressions } = from;
    let equal = match_labels.clone().into_iter().map(|(key, value)| Expression::Equal(key, value));
    let others = match_expressions.iter().cloned().map(|it| {
        let Requirement { key, operator, values } = it;
        let values = values.into_iter().collect();
        match operator {
            Operator::In => Expression::In(key, values),
            Operator::NotIn => Expression::NotIn(key, values),
            Operator::Exists => Expression::Exists(key),
            Operator::DoesNotExist => Expression::DoesNotExist(key),
        }
    });
    equal.chain(others).collect()
}

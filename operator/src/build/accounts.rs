//! The pods' ServiceAccount, which may do nothing and whose token is not mounted.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::metadata;
use crate::{names, validate::Validated};

pub fn service_account(checked: &Validated) -> ServiceAccount {
    metadata::hashed(ServiceAccount {
        metadata: metadata::owned(checked, names::service_account(&checked.name)),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    })
}

//! What is known of a user who wants to come in: what their proof is checked against, and what the
//! pooler logs in to the server with. It finds out nothing.

use poolwright_settings::{Proof, Secret, Settings, User};

use crate::credential::{Credential, Learned};

/// A user who may log in.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) proof: Proof,
    /// Valid beside `proof`, and of its form.
    pub(super) previous: Option<Secret>,
    /// The settings say what the pooler logs in with.
    has_credential: bool,
}

impl Known {
    pub(super) fn listed(user: &User) -> Known {
        let previous = match &user.proof {
            Proof::ScramVerifier(_) => user.previous_verifier.clone(),
            Proof::Password(_) => user.previous_password.clone(),
            Proof::Md5(_) => None,
        };
        let has_credential = user.server_password.is_some();
        Known { proof: user.proof.clone(), previous, has_credential }
    }

    /// As a server knows them.
    pub(super) fn found(secret: Secret) -> Known {
        let proof = match Credential::of(&secret) {
            Some(Credential::Md5(secret)) => Proof::Md5(secret),
            Some(Credential::Password(secret)) => Proof::Password(secret),
            Some(Credential::Keys(_)) | None => Proof::ScramVerifier(secret),
        };
        Known { proof, previous: None, has_credential: false }
    }

    /// What the secrets are that a proof may fit.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let (Proof::Password(now) | Proof::Md5(now) | Proof::ScramVerifier(now)) = &self.proof;
        [now].into_iter().chain(&self.previous)
    }

    /// What the pooler may use that a client has shown to have, checked against `of`.
    pub(super) fn learn(&self, credential: Credential, of: &Secret) -> Option<Learned> {
        (!self.has_credential).then(|| Learned { credential, of: of.clone() })
    }

    /// What the secret alone is good for.
    pub(super) fn learn_nothing(&self) -> Option<Learned> {
        let secret = self.secrets().next()?;
        self.learn(Credential::of(secret)?, secret)
    }
}

/// Whether a user whom nobody knows is to be treated as one whose password is known, not as one of
/// whom there is a verifier: as most are.
pub(super) fn are_passwords_known(settings: &Settings) -> bool {
    let is_verifier = |user: &User| matches!(user.proof, Proof::ScramVerifier(_));
    settings.users.values().any(|user| !is_verifier(user))
}

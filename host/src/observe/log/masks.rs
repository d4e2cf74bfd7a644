//! Whose secrets are taken out of whose lines: a tenant's own out of all that is said about it. Never
//! another's: whoever saw his own text masked would have guessed a neighbour's secret.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use collector_model::KnownSecrets;

/// The secrets of the tenants that run, or of the one configuration of a process, whose tenant is none.
/// Clones share them.
#[derive(Clone, Default)]
pub struct Masks(Arc<RwLock<HashMap<Option<Arc<str>>, KnownSecrets>>>);

impl Masks {
    /// The lines of this tenant, or of none, have these secrets taken out from now on.
    pub fn add(&self, tenant: Option<Arc<str>>, secrets: KnownSecrets) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(tenant, secrets);
    }

    /// The tenant is gone.
    pub fn remove(&self, tenant: &Arc<str>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&Some(tenant.clone()));
    }

    /// A text about this tenant, without its secrets.
    pub fn mask<'a>(&self, tenant: Option<&Arc<str>>, text: &'a str) -> Cow<'a, str> {
        let secrets = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&tenant.cloned()).cloned();
        secrets.map_or(Cow::Borrowed(text), |secrets| Cow::Owned(secrets.mask(text).into_owned()))
    }
}

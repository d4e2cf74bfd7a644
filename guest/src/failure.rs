//! Why a call could not do its work, in the classes and codes that operators look up in the specification.

use std::fmt;

/// The class of a failure, as it is written in the operator's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// `InitVariablesError`, codes 0 to 99: a setting is missing or wrong.
    InitVariables,
    /// `PrePullError`, codes 200 to 299: the persisted state can't be used.
    PrePull,
    /// `PullError`, codes 300 to 399: the pull could not be completed.
    Pull,
    /// `ApiError`, codes 400 to 499: the API refused, or could not be reached or understood.
    Api,
}

/// How much of the API a failure is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Perhaps one page alone: the others may still be read.
    Page,
    /// All of it: no other request would fare better now.
    Api,
}

/// What went wrong, and what the operator can do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub class: Class,
    /// Unique within the class: `401` is written `[CODE:0401]`.
    pub code: u16,
    /// What happened and where, in one line.
    pub reason: String,
    /// What the operator can do about it, in one line.
    pub remedy: String,
    /// Where the source failed, how much of it; otherwise all of it.
    pub scope: Scope,
}

impl Failure {
    fn new(class: Class, code: u16, reason: impl Into<String>, remedy: &str) -> Self {
        Self { class, code, reason: one_line(&reason.into()), remedy: remedy.to_owned(), scope: Scope::Api }
    }

    /// A setting that can't be used. Codes 1 and 2 have the specification's text; 3 stands for every other
    /// setting.
    pub fn setting(code: u16, reason: impl Into<String>, remedy: &str) -> Self {
        Self::new(Class::InitVariables, code, reason, remedy)
    }

    /// A persisted state that can't be read or written.
    pub fn state(code: u16, reason: impl Into<String>, remedy: &str) -> Self {
        Self::new(Class::PrePull, code, reason, remedy)
    }

    /// A pull that was not completed.
    pub fn pull(code: u16, reason: impl Into<String>, remedy: &str) -> Self {
        Self::new(Class::Pull, code, reason, remedy)
    }

    /// An API that refuses, or can't be reached or understood.
    pub fn api(code: u16, reason: impl Into<String>, remedy: &str) -> Self {
        Self::new(Class::Api, code, reason, remedy)
    }

    /// The same failure, known to be about as much as this.
    pub fn about(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// Whether it may be about one page alone, so that the others are worth asking for.
    pub fn is_of_page(&self) -> bool {
        self.scope == Scope::Page
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}Error [CODE:{:04}] reason: {} {}", self.class, self.code, self.reason, self.remedy)
    }
}

impl std::error::Error for Failure {}

/// An answer of the API may hold anything; in a log it must stay on its line.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

//! The ways to misbehave.

/// Makes the enum, the list of its cases, and their names in a configuration.
macro_rules! behaviours {
    ($($(#[doc = $doc:literal])* $case:ident = $name:literal,)*) => {
        /// A way to misbehave.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Behaviour {
            $($(#[doc = $doc])* $case,)*
        }

        impl Behaviour {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$case),*];

            /// The value of the setting `behaviour`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$case => $name,)*
                }
            }
        }
    };
}

behaviours! {
    /// Computes forever.
    EndlessLoop = "endless-loop",
    /// Calls itself forever.
    EndlessRecursion = "endless-recursion",
    /// Takes memory forever.
    MemoryBomb = "memory-bomb",
    /// Opens the store forever, and closes nothing.
    HandleFlood = "handle-flood",
    /// Writes to the log forever.
    LogFlood = "log-flood",
    /// Writes lines of 100 MB that nobody wants to see, forever.
    GiantDebugLines = "giant-debug-lines",
    /// Stores a value of 100 MB.
    GiantState = "giant-state",
    /// Stores one small value after the other, each under its own key.
    ManyKeys = "many-keys",
    /// Stores values of 100 kB under one key after the other.
    FillStore = "fill-store",
    /// Sends an event of 200 MB.
    GiantEvent = "giant-event",
    /// Keeps a dead letter of 200 MB.
    GiantDeadLetter = "giant-dead-letter",
    /// Keeps one dead letter after the other.
    ManyDeadLetters = "many-dead-letters",
    /// Keeps dead letters of 1 MB, as many as it can.
    EndlessDeadLetters = "endless-dead-letters",
    /// Keeps a dead letter of another table than its own.
    DeadLettersOfOthers = "dead-letters-of-others",
    /// Starts a thousand requests and reads no answer.
    ThousandRequests = "thousand-requests",
    /// Asks another host than its own: the one that the setting `target` names.
    OtherHost = "other-host",
    /// Opens and reads other tenants' stores: of the names in the setting `target`, and up the folders.
    OtherStores = "other-stores",
    /// Sends to another table than its own.
    OtherTable = "other-table",
    /// Sends ten events and fails before they are confirmed.
    TrapWhileSending = "trap-while-sending",
    /// Waits forever in a function of the host.
    NeverReturns = "never-returns",
    /// Takes 60 MB of memory, and waits forever.
    HoardMemory = "hoard-memory",
    /// Does nothing, and says that there is more.
    NothingButMore = "nothing-but-more",
}

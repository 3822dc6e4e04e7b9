//! The rules of the core that can be taken out, one by one, to show that the exploration of the model would notice.
//!
//! Outside the tests [`Rules`] is an empty type whose every answer is "yes": production code cannot switch a rule off.

macro_rules! rules {
    ($($(#[$doc:meta])* $get:ident = $bit:literal,)*) => {
        /// Which rules are in force.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct Rules {
            #[cfg(test)]
            off: u128,
        }

        impl Rules {
            $($(#[$doc])* #[cfg(test)] pub(crate) fn $get(self) -> bool { self.off & (1 << $bit) == 0 }
              $(#[$doc])* #[cfg(not(test))] #[inline(always)] pub(crate) fn $get(self) -> bool { true })*

            /// All rules but these, by number.
            #[cfg(test)]
            pub(crate) fn without(numbers: &[u32]) -> Self {
                Self { off: numbers.iter().fold(0, |off, n| off | (1 << n)) }
            }
        }
    };
}

rules! {
    /// One deployment for each idempotency key.
    r3 = 3,
    /// An observation begun before the last event is thrown away.
    r5 = 5,
    /// A cutover in doubt is reverted by a new, higher generation, never by looking.
    r8 = 8,
    /// Tear-down only of what is not live, not promised, and seen not to be at the front, at the last generation.
    r9 = 9,
    /// A front without compare-and-set is waited out before anything is torn down.
    r10 = 10,
    /// The promise to the standby is dropped in the same event that begins its tear-down.
    r11 = 11,
    /// Health is read again right before the cutover.
    r12 = 12,
    /// Commands name the deployment that they mean.
    r13 = 13,
    /// What nobody remembers is swept up, for ever.
    r14 = 14,
    /// A front that shows what nobody ordered is put right before anything else.
    r15 = 15,
    /// One active deployment in an environment.
    r18 = 18,
    /// Failure and abort tear down whatever may have been made.
    r19 = 19,
    /// No cutover without a recorded pass.
    r20 = 20,
    /// Repointed is not drained.
    r24 = 24,
    /// A gate is opened only by those who were named, and not by whoever asked where that is forbidden.
    r25 = 25,
    /// Nothing is stood up before its definition is frozen.
    r26 = 26,
    /// A rule promotes only what was found good.
    r27 = 27,
    /// A rule promotes only what is newer than all that was there before.
    r28 = 28,
    /// A rule lets a person go first.
    r29 = 29,
    /// What is vetoed is aborted before its cutover, and nobody can approve it.
    r30 = 30,
    /// What would not be let begin, because of a hold or a pin, does not approve itself.
    r31 = 31,
    /// Nothing goes past a point before its hooks have passed.
    r32 = 32,
    /// A deployment counts only when the hooks after its cutover have passed.
    r33 = 33,
    /// Nothing is torn down before its own hooks are over.
    r34 = 34,
    /// A hook that gives no result in time has failed.
    r35 = 35,
    /// A hook is begun only while the front is where it was sent.
    r36 = 36,
    /// What was adopted and never found good is never torn down.
    r38 = 38,
    /// What was adopted is never stood up again, nor looked for by its name once it was there; a stranger is not as long as it was
    /// not found good.
    r39 = 39,
    /// An adoption in doubt is let go, not reverted: users stay where they are.
    r40 = 40,
    /// Only time in which somebody looked counts against anybody.
    r41 = 41,
    /// An order to the front is late only when this life of the controller has given it.
    r42 = 42,
    /// The front is put right only onto a stack that was seen good in that very look.
    r43 = 43,
    /// The standby is kept while what is live is not seen good, and started again when it breaks.
    r44 = 44,
    /// No automatic way back to what users were taken from because it was down.
    r45 = 45,
    /// Recovery waits while an order is open, or a cutover, a bake or a revert is under way.
    r46 = 46,
    /// Recovery only onto a standby that was seen good in that very look.
    r47 = 47,
    /// A standby that is still starting is not given up.
    r48 = 48,
    /// No order to nobody where the front cannot be pointed at nobody: users stay where they are.
    r49 = 49,
    /// Whatever does not mend itself calls a person: a stack that stays down, a front that cannot be put right.
    r50 = 50,
    /// A way back that is stuck can be given up by a person.
    r51 = 51,
    /// A front that is repointed again and again is put right ever more seldom, calls a person and holds.
    r52 = 52,
    /// What is live or promised is started again for ever.
    r53 = 53,
    /// With nothing live, a front that serves a stack that nobody here knows is left to it.
    r54 = 54,
    /// A person ends and adopts strangers only: nothing that is live, promised, under way or being torn down.
    r58 = 58,
    /// What was to be adopted and was let go is somebody else's: no command ends it, nor adopts it by its number.
    r59 = 59,
    /// What went down and came up again counts as up only once it has stayed good for a while.
    r61 = 61,
    /// The time that all lives of the controller have watched counts together.
    r62 = 62,
    /// An instance is ended for a restart only while those before it are up and pass, and the restart is done when all are.
    r63 = 63,
    /// A stranger that is adopted is not ours to tear down until it was found good.
    r64 = 64,
    /// No deployment begins under a number that a stack was seen to carry already.
    r65 = 65,
    /// A build that a person deployed by its number and that is announced with it is one build.
    r66 = 66,
}

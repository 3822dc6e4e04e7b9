//! The rules of the core that can be taken out, one by one, to show that the exploration of the model would notice.
//!
//! Each has a name, by which the code reads it, and a number, by which the model, its defects and ARCHITECTURE.md name it.
//!
//! Outside the tests [`Rules`] is an empty type whose every answer is "yes": production code cannot switch a rule off.

macro_rules! rules {
    ($($(#[$doc:meta])* $get:ident = $bit:literal,)*) => {
        /// The rules that are in force.
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
    /// R3: one deployment for each idempotency key.
    one_for_each_key = 3,
    /// R5: an observation begun before the last event is thrown away.
    fresh_look = 5,
    /// R8: a cutover in doubt is reverted by a new, higher generation, never by looking.
    revert_in_doubt = 8,
    /// R9: tear-down only of what is not live, not promised, and seen not to be at the front, at the last generation.
    retire_only_unused = 9,
    /// R10: a front without compare-and-set is waited out before anything is torn down.
    wait_out_unfenced = 10,
    /// R11: the promise to the standby is dropped in the same event that begins its tear-down.
    unpromise_first = 11,
    /// R12: health is read again right before the cutover.
    recheck_before_cutover = 12,
    /// R13: commands name the deployment that they mean.
    named_deployment = 13,
    /// R14: what nobody remembers is swept up, for ever.
    sweep_orphans = 14,
    /// R15: a front that shows what nobody ordered is put right before anything else.
    mend_drift = 15,
    /// R18: one active deployment in an environment.
    one_active = 18,
    /// R19: failure and abort tear down whatever may have been made.
    retire_what_failed = 19,
    /// R20: no cutover without a recorded pass.
    recorded_pass = 20,
    /// R24: repointed is not drained.
    drain_first = 24,
    /// R25: a gate is opened only by those who were named, and not by whoever asked where that is forbidden.
    named_approvers = 25,
    /// R26: nothing is stood up before its definition is frozen.
    definition_first = 26,
    /// R27: a rule promotes only what was found good.
    promote_only_good = 27,
    /// R28: a rule promotes only what is newer than all that was there before.
    promote_only_newer = 28,
    /// R29: a rule lets a person go first.
    person_first = 29,
    /// R30: what is vetoed is aborted before its cutover, and nobody can approve it.
    veto_stops = 30,
    /// R31: what would not be let begin, because of a hold or a pin, does not approve itself.
    stopped_stays_asked = 31,
    /// R32: nothing goes past a point before its hooks have passed.
    hooks_first = 32,
    /// R33: a deployment counts only when the hooks after its cutover have passed.
    hooks_before_success = 33,
    /// R34: nothing is torn down before its own hooks are over.
    hooks_before_retirement = 34,
    /// R35: a hook that gives no result in time has failed.
    hook_time_limit = 35,
    /// R36: a hook is begun only while the front is where it was sent.
    no_hook_astray = 36,
    /// R38: what was adopted and never found good is never torn down.
    keep_unproven_adopted = 38,
    /// R39: what was adopted is never stood up again, nor looked for by its name once it was there; a stranger is not as
    /// long as it was not found good.
    never_remake_adopted = 39,
    /// R40: an adoption in doubt is let go, not reverted: users stay where they are.
    let_go_in_doubt = 40,
    /// R41: only time in which somebody looked counts against anybody.
    only_watched_time = 41,
    /// R42: an order to the front is late only when this life of the controller has given it.
    late_only_if_given = 42,
    /// R43: the front is put right only onto a stack that was seen good in that very look.
    mend_onto_good = 43,
    /// R44: the standby is kept while what is live is not seen good, and started again when it breaks.
    keep_standby_while_down = 44,
    /// R45: no automatic way back to what users were taken from because it was down.
    never_back_to_suspect = 45,
    /// R46: recovery waits while an order is open, or a cutover, a bake or a revert is under way.
    recover_when_idle = 46,
    /// R47: recovery only onto a standby that was seen good in that very look.
    recover_onto_good = 47,
    /// R48: a standby that is still starting is not given up.
    wait_for_standby = 48,
    /// R49: no order to nobody where the front cannot be pointed at nobody: users stay where they are.
    never_to_nobody = 49,
    /// R50: whatever does not mend itself calls a person: a stack that stays down, a front that cannot be put right.
    call_operator = 50,
    /// R51: a way back that is stuck can be given up by a person.
    give_up_stuck = 51,
    /// R52: a front that is repointed again and again is put right ever more seldom, calls a person and holds.
    mend_more_seldom = 52,
    /// R53: what is live or promised is started again for ever.
    restart_for_ever = 53,
    /// R54: with nothing live, a front that serves a stack that nobody here knows is left to it.
    leave_unknown_front = 54,
    /// R58: a person ends and adopts strangers only: nothing that is live, promised, under way or being torn down.
    end_only_strangers = 58,
    /// R59: what was to be adopted and was let go is somebody else's: no command ends it, nor adopts it by its number.
    let_go_is_not_ours = 59,
    /// R61: what went down and came up again counts as up only once it has stayed good for a while.
    settle_after_flap = 61,
    /// R62: the time that all lives of the controller have watched counts together.
    add_up_lives = 62,
    /// R63: an instance is ended for a restart only while those before it are up and pass, and the restart is done when
    /// all are.
    one_instance_at_a_time = 63,
    /// R64: a stranger that is adopted is not ours to tear down until it was found good.
    adopt_stranger_late = 64,
    /// R65: no deployment begins under a number that a stack was seen to carry already.
    skip_used_numbers = 65,
    /// R73: what the front shows is compared whole, with the share of each stack.
    whole_route = 73,
    /// R69: a share grows only after it was watched, or a person lets it, and only where the stack passes in that look.
    watch_each_step = 69,
    /// R70: what was live stays live until the new stack has all users.
    base_until_whole = 70,
    /// R71: from a share, users go back only to a live stack that was seen good in that look, or by a person's second word.
    back_onto_good = 71,
    /// R72: a way back from a share that waits for a sick stack makes room for a new deployment.
    make_room = 72,
    /// R66: a build that a person deployed by its number and that is announced with it is one build.
    one_build_by_hand = 66,
    /// R74: a stack is stopped only while the front shows the maintenance page by the last order, and nobody is using it.
    page_before_stop = 74,
    /// R75: what is dead is stopped too: whoever looks after it might start it again.
    stop_the_dead = 75,
    /// R76: no stack is started while an earlier request can still start another one.
    start_when_still = 76,
    /// R77: after a stop, good is what was seen to have obeyed the last order to start.
    obeyed_the_start = 77,
    /// R78: of two stacks that must not run beside each other, at most one is meant to run.
    one_meant_to_run = 78,
    /// R79: what is meant to be stopped is not kept alive.
    leave_stopped = 79,
    /// R80: users go back to what was stopped only after it was started and seen good.
    start_before_return = 80,
    /// R81: a stack is started only while every other one is seen stopped, or is gone.
    start_alone = 81,
    /// R82: nothing automatic sends users to a standby that is stopped.
    never_recover_to_stopped = 82,
    /// R83: what is held or pinned keeps nobody on the maintenance page.
    page_waits_for_nobody = 83,
    /// R84: while a person has maintenance on, the front is told to show the page, whatever goes on behind it.
    maintenance_stays = 84,
    /// R67: the front is given the reach that the stack it serves has now, by the order that it shows.
    refresh_reach = 67,
}

/* Deliberate faults, for tests/mutation alone.
 *
 * A build with -DRABIA_MUTANT=k breaks exactly one rule, at the place that
 * says MUTANT(k); tests/mutation/run.sh shows that the scenarios or the
 * explorer notice.  In every other build MUTANT is the constant 0. */
#ifndef CONSENSUS_MUTANT_H
#define CONSENSUS_MUTANT_H

enum mutant {
    MUTANT_NONE = 0,
    MUTANT_QUORUM_TOO_SMALL,      /* R3: one PROPOSAL too few decides */
    MUTANT_DECIDE_ON_STATES,      /* R5: q equal STATEs decide */
    MUTANT_NO_HOLDING,            /* R7: value 1 is counted without the contents */
    MUTANT_LOCAL_COIN,            /* R6: the coin differs between replicas */
    MUTANT_VOTE_TWICE,            /* R5: forgets that it voted, and votes anew */
    MUTANT_ECHO_AFTER_FORFEIT,    /* R2: echoes a batch after PROPOSAL(NULL) */
    MUTANT_NO_VOID,               /* Proposing again: the void rule is left out */
    MUTANT_COUNT_UNFLUSHED,       /* on disk before counted: counts own messages at once */
    MUTANT_FORFEITS_DECIDE,       /* R4: q forfeits decide NULL without phases */
    MUTANT_NO_WINDOW,             /* window: proposes without regard to it */
    MUTANT_MIXED_FORGETS_BATCH,   /* R4: state 0 although one PROPOSAL is for the batch */
    MUTANT_SKIP_NOT_FINAL,        /* R3: the owner's SKIP decides nothing */
    MUTANT_NO_CLOCK_RULE,         /* Time: echoes a batch from the future */
    MUTANT_EARLY_IS_PROPOSAL,     /* on disk before counted: early contents count as PROPOSAL */
    MUTANT_UNFLUSHED_FORFEIT,     /* on disk before sent: PROPOSAL(NULL) is not flushed */
    MUTANT_LAP_MARK_IGNORED,      /* on disk before sent: SKIP beyond the lap mark is not flushed */
    MUTANT_VOTE_IGNORED,          /* R5: one vote for v does not set the state */
    MUTANT_SILENT_WHEN_DECIDED,   /* R8: does not answer about a decided slot */
    MUTANT_NO_CATCH_UP_SKIP,      /* Pace: does not skip up to a later proposal */
    MUTANT_NEVER_SUSPECTS,        /* Pace: waits for a dead lane for ever */
    MUTANT_ANSWER_WHILE_REJOINING, /* Restart: answers REJOIN while it is rejoining */
    MUTANT_REJOIN_WITHOUT_WINDOW, /* Restart: J := max(H) + 1, without A */
    MUTANT_FORGET_SAID,           /* Restart: a replayed VOTE is forgotten */
    MUTANT_USE_UNFLUSHED,         /* Restart: the replayed journal is not flushed before it is relied on (test's driver) */
    MUTANT_OWN_BELOW_MARK,        /* on disk before sent: uses own slots below the mark after a lost tail */
    MUTANT_CHANGE_AT_ONCE,        /* Membership: a change is in force at once */
    MUTANT_CHANGE_DURING_CHANGE,  /* Membership: a second change is accepted before the first is in force */
    MUTANT_LEARNER_COUNTS,        /* Membership: a learner counts, REJOIN included */
    MUTANT_RECORDS_UNORDERED,     /* I7: a record moves before another one about its slot */
    MUTANT_NUDGE_NOT_PASSED_ON,   /* Pace: a nudge ends with the replica that began it */
    MUTANT_END
};

#ifdef RABIA_MUTANT
#define MUTANT(k) (RABIA_MUTANT == (k))
#else
#define MUTANT(k) 0
#endif

#endif

/* How long a lane may hold up the order before we forfeit it.
 *
 * Phi accrual (Hayashibara and others, SRDS 2004) over what this lane usually
 * takes to settle a slot that holds up a later one: mean and deviation are
 * moving averages, and the lane is forfeited when phi, the unlikelihood of a
 * wait this long, reaches SUSPICION_PHI.  Between a floor and a ceiling; every
 * wrongful forfeit doubles the time, up to SUSPICION_CEILINGS times the ceiling, and a
 * doubling is forgotten after SUSPICION_FORGET_US.  Without that bound a lane that was slow
 * some times would hold up everybody for seconds when it falls silent for good; an owner that is
 * slower still proposes beyond what is forfeited. */
#ifndef CONSENSUS_SUSPICION_H
#define CONSENSUS_SUSPICION_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SUSPICION_SAMPLES_MIN = 8,   /* before that, only the ceiling counts */
    SUSPICION_DOUBLINGS_MAX = 5,
    SUSPICION_CEILINGS = 4,
    SUSPICION_FORGET_US = 10 * 1000 * 1000
};

struct suspicion {
    double mean_us, variance_us2;
    uint32_t sample_count; /* saturates at SUSPICION_SAMPLES_MIN */
    uint32_t doublings;
    uint64_t doubled_us; /* when the newest doubling was added or forgotten */
    bool is_waiting;
    uint64_t sampled_us; /* when the last sample was taken */
    uint64_t waiting_lap;
    uint64_t waiting_since_us;
};

/* The lane's first undecided slot, at lap, holds up a later one. */
void suspicion_wait(struct suspicion *s, uint64_t lap, uint64_t now_us);
/* It holds up nothing. */
void suspicion_rest(struct suspicion *s);
/* Whatever we waited for, measure anew: our own process was paused, or the
 * owner has just spoken. */
void suspicion_restart(struct suspicion *s, uint64_t now_us);
/* The slot at lap was settled by its owner (not by forfeits).  One that was
 * settled before anything waited for it counts as having taken unwaited_us, at
 * most once per instant: a lane that is always ahead of need is known, too. */
void suspicion_settled(struct suspicion *s, uint64_t lap, uint64_t now_us, uint64_t unwaited_us);
void suspicion_double(struct suspicion *s, uint64_t now_us);
void suspicion_forget(struct suspicion *s, uint64_t now_us);

/* The wait after which a slot is forfeited; is_link_down shortens it to a
 * quarter, never below floor_us. */
uint64_t suspicion_limit_us(const struct suspicion *s, uint64_t floor_us, uint64_t ceiling_us, bool is_link_down);
uint64_t suspicion_waited_us(const struct suspicion *s, uint64_t now_us);
/* For status: 0 while nothing waits. */
double suspicion_phi(const struct suspicion *s, uint64_t now_us);

#endif

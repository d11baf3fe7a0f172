#include "consensus/suspicion.h"

#include <math.h>

#include "base/check.h"

/* Newest sample's weight in the averages. */
static const double WEIGHT = 1.0 / 16;
/* Deviations beyond the mean at which phi is 8 (one wrong in 10^8). */
static const double DEVIATIONS_AT_PHI_8 = 5.6;

void suspicion_wait(struct suspicion *s, uint64_t lap, uint64_t now_us)
{
    CHECK(!s->is_waiting || lap >= s->waiting_lap);
    if (s->is_waiting && s->waiting_lap == lap)
        return;
    s->is_waiting = true;
    s->waiting_lap = lap;
    s->waiting_since_us = now_us;
}

void suspicion_rest(struct suspicion *s)
{
    s->is_waiting = false;
}

void suspicion_restart(struct suspicion *s, uint64_t now_us)
{
    CHECK(!s->is_waiting || now_us >= s->waiting_since_us);
    s->waiting_since_us = now_us;
}

static void sample(struct suspicion *s, double took_us)
{
    double off = took_us - s->mean_us;
    double weight = s->sample_count == 0 ? 1 : WEIGHT;
    s->mean_us += weight * off;
    s->variance_us2 = (1 - weight) * (s->variance_us2 + weight * off * off);
    if (s->sample_count < SUSPICION_SAMPLES_MIN)
        s->sample_count++;
}

void suspicion_settled(struct suspicion *s, uint64_t lap, uint64_t now_us, uint64_t unwaited_us)
{
    bool was_awaited = s->is_waiting && s->waiting_lap == lap;
    CHECK(now_us >= s->sampled_us);
    CHECK(!was_awaited || now_us >= s->waiting_since_us);
    if (was_awaited)
        sample(s, (double)(now_us - s->waiting_since_us));
    else if (now_us != s->sampled_us)
        sample(s, (double)unwaited_us);
    s->sampled_us = now_us;
}

void suspicion_double(struct suspicion *s, uint64_t now_us)
{
    if (s->doublings < SUSPICION_DOUBLINGS_MAX)
        s->doublings++;
    s->doubled_us = now_us;
}

void suspicion_forget(struct suspicion *s, uint64_t now_us)
{
    CHECK(now_us >= s->doubled_us);
    if (s->doublings > 0 && now_us - s->doubled_us >= SUSPICION_FORGET_US) {
        s->doublings--;
        s->doubled_us = now_us;
    }
}

/* A lane that is very regular still deserves some slack. */
static double deviation_us(const struct suspicion *s)
{
    double deviation = sqrt(s->variance_us2);
    double least = s->mean_us / 4 + 100;
    return deviation > least ? deviation : least;
}

uint64_t suspicion_limit_us(const struct suspicion *s, uint64_t floor_us, uint64_t ceiling_us, bool is_link_down)
{
    CHECK(floor_us <= ceiling_us);
    double limit = s->mean_us + DEVIATIONS_AT_PHI_8 * deviation_us(s);
    uint64_t limit_us = ceiling_us;
    if (s->sample_count >= SUSPICION_SAMPLES_MIN && limit < (double)ceiling_us)
        limit_us = (uint64_t)limit;
    if (is_link_down)
        limit_us /= 4;
    if (limit_us < floor_us)
        limit_us = floor_us;
    uint64_t doubled_us = limit_us << s->doublings, most_us = ceiling_us * SUSPICION_CEILINGS;
    return doubled_us < most_us ? doubled_us : most_us;
}

uint64_t suspicion_waited_us(const struct suspicion *s, uint64_t now_us)
{
    CHECK(!s->is_waiting || now_us >= s->waiting_since_us);
    return s->is_waiting ? now_us - s->waiting_since_us : 0;
}

/* The logistic approximation of the normal distribution's tail. */
double suspicion_phi(const struct suspicion *s, uint64_t now_us)
{
    if (!s->is_waiting)
        return 0;
    double y = ((double)suspicion_waited_us(s, now_us) - s->mean_us) / deviation_us(s);
    double power = y * (1.5976 + 0.070566 * y * y);
    return power > 300 ? power / log(10) : log10(1 + exp(power));
}

/* The roster: what each change makes of it, every reason to refuse one, the
 * same bytes from the same changes, and bytes that are not a roster. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "replica/roster.h"

static struct roster first_list(int count)
{
    struct roster roster = {0};
    for (int i = 0; i < count; i++) {
        roster.entries[i] = (struct roster_entry){.state = ROSTER_MEMBER, .id = (uint16_t)(i + 1), .port = 7001 + i};
        strcpy(roster.entries[i].host, "10.0.0.1");
    }
    return roster;
}

/* "ADD 4 10.0.0.4:7004"; NULL, or the reason of refusal (valid until the next call). */
static const char *change(struct roster *roster, const char *text)
{
    static char reason[ROSTER_REASON_MAX];
    static char words[8][64];
    struct slice argv[8] = {SLICE_LITERAL("RABIA")};
    int argc = 1 + sscanf(text, "%63s %63s %63s %63s", words[1], words[2], words[3], words[4]);
    for (int i = 1; i < argc; i++)
        argv[i] = slice_from(words[i]);
    struct roster_change read;
    struct roster next;
    if (!roster_read_change(argc, argv, &read, reason) ||
        !roster_apply(roster, &read, roster->position + 16, &next, reason))
        return reason;
    *roster = next;
    return NULL;
}

static void done(struct roster *roster, const char *text)
{
    const char *reason = change(roster, text);
    if (reason)
        fail_msg("%s: %s", text, reason);
}

static void refused(struct roster *roster, const char *text, const char *why)
{
    struct roster before = *roster;
    const char *reason = change(roster, text);
    if (!reason || !strstr(reason, why) || strncmp(reason, "ERR ", 4) != 0)
        fail_msg("%s: \"%s\" does not say \"%s\"", text, reason ? reason : "done", why);
    assert_memory_equal(&before, roster, sizeof before);
}

static void learns_then_votes_then_goes(void **state)
{
    (void)state;
    struct roster r = first_list(1);
    assert_int_equal(roster_width(&r), 1);
    done(&r, "ADD 7 [fe80::1]:7007");
    assert_int_equal(roster_mask(&r, ROSTER_MEMBER), 1);
    assert_int_equal(roster_mask(&r, ROSTER_LEARNER), 2);
    assert_string_equal(r.entries[1].host, "fe80::1");
    assert_int_equal(roster_find(&r, 7), 1);
    done(&r, "VOICE 7");
    assert_int_equal(roster_mask(&r, ROSTER_MEMBER), 3);
    done(&r, "MOVE 7 host:1");
    assert_int_equal(r.entries[1].port, 1);
    done(&r, "REMOVE 1");
    assert_int_equal(roster_mask(&r, ROSTER_MEMBER), 2);
    assert_int_equal(roster_mask(&r, ROSTER_REMOVED), 1);
    assert_int_equal(r.version, 4);
    assert_int_equal(r.position, 64);
}

static void replaces_in_one_step(void **state)
{
    (void)state;
    struct roster r = first_list(3);
    done(&r, "REPLACE 2 4 10.0.0.4:7004");
    assert_int_equal(roster_mask(&r, ROSTER_MEMBER), 7);
    refused(&r, "REPLACE 2 5 10.0.0.5:7005", "being replaced already, by 4");
    done(&r, "VOICE 4");
    assert_int_equal(roster_mask(&r, ROSTER_MEMBER), 1 | 4 | 8);
    assert_int_equal(roster_mask(&r, ROSTER_REMOVED), 2);
    /* Who was to be replaced may be gone before. */
    done(&r, "REPLACE 1 5 10.0.0.5:7005");
    done(&r, "REMOVE 1");
    done(&r, "VOICE 5");
    assert_int_equal(roster_mask(&r, ROSTER_MEMBER), 4 | 8 | 16);
}

static void says_why_not(void **state)
{
    (void)state;
    struct roster r = first_list(2);
    refused(&r, "ADD 2 10.0.0.9:7009", "2 is a member already, at 10.0.0.1:7002");
    refused(&r, "ADD 3 10.0.0.1:7002", "the address of 2");
    refused(&r, "ADD 0 10.0.0.9:7009", "from 1 to 65535");
    refused(&r, "ADD 65536 10.0.0.9:7009", "from 1 to 65535");
    refused(&r, "ADD 3 10.0.0.9", "host:port");
    refused(&r, "ADD 3 10.0.0.9:0", "host:port");
    refused(&r, "ADD 3 a@b:1", "host:port");
    refused(&r, "ADD 3", "syntax");
    refused(&r, "REMOVE 3", "3 is no member");
    refused(&r, "MOVE 3 h:1", "3 is no member");
    refused(&r, "MOVE 2 10.0.0.1:7001", "the address of 1");
    refused(&r, "REPLACE 3 4 h:1", "3 is no member");
    refused(&r, "VOICE 2", "a member already");
    done(&r, "ADD 3 10.0.0.9:7009");
    refused(&r, "ADD 3 10.0.0.8:7008", "3 is a learner already");
    refused(&r, "REPLACE 3 4 h:1", "3 is a learner: remove it, then add 4");
    done(&r, "REMOVE 3");
    refused(&r, "REMOVE 3", "removed from this cluster already");
    refused(&r, "ADD 3 10.0.0.9:7009", "never used again");
    done(&r, "ADD 4 10.0.0.9:7009"); /* its address may be */
    done(&r, "REMOVE 2");
    refused(&r, "REMOVE 1", "the last member");
}

static void gives_nine_places(void **state)
{
    (void)state;
    struct roster r = first_list(1);
    for (int id = 2; id <= 9; id++) {
        char text[64];
        snprintf(text, sizeof text, "ADD %d h%d:1", id, id);
        done(&r, text);
    }
    refused(&r, "ADD 10 h10:1", "all 9 places");
    done(&r, "REMOVE 9");
    refused(&r, "ADD 10 h10:1", "all 9 places");
}

static void random_change(char *text, size_t size, struct random *random)
{
    static const char *const verbs[] = {"ADD", "REMOVE", "REPLACE", "MOVE", "VOICE"};
    unsigned verb = (unsigned)random_below(random, 5);
    unsigned id = 1 + (unsigned)random_below(random, 12), other = 1 + (unsigned)random_below(random, 12);
    unsigned port = 1 + (unsigned)random_below(random, 20);
    if (verb == 2)
        snprintf(text, size, "REPLACE %u %u h:%u", id, other, port);
    else if (verb == 1 || verb == 4)
        snprintf(text, size, "%s %u", verbs[verb], id);
    else
        snprintf(text, size, "%s %u h:%u", verbs[verb], id, port);
}

/* Two that apply the same, one of them written down and read again each time. */
static void same_everywhere(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct random random;
        random_init(&random, seed);
        struct roster a = first_list(3), b = a;
        for (int step = 0; step < 60; step++) {
            char text[64], reason[ROSTER_REASON_MAX] = "";
            random_change(text, sizeof text, &random);
            const char *said = change(&a, text);
            if (said)
                snprintf(reason, sizeof reason, "%s", said);
            said = change(&b, text);
            assert_string_equal(reason, said ? said : "");
            unsigned char bytes[ROSTER_BYTES_MAX], again[ROSTER_BYTES_MAX];
            size_t size = roster_encode(&b, bytes);
            b = first_list(1);
            assert_true(roster_decode(slice_make((char *)bytes, size), &b));
            assert_int_equal(roster_encode(&a, again), size);
            assert_memory_equal(bytes, again, size);
            assert_true(roster_mask(&a, ROSTER_MEMBER) != 0);
        }
    }
}

/* Every prefix is refused, every changed byte is refused or reads as a whole roster. */
static void reads_nothing_else(void **state)
{
    (void)state;
    struct roster r = first_list(3), read;
    done(&r, "REPLACE 2 4 10.0.0.4:7004");
    unsigned char bytes[ROSTER_BYTES_MAX];
    size_t size = roster_encode(&r, bytes);
    for (size_t cut = 0; cut < size; cut++) {
        char *copy = malloc(cut + 1); /* its end is watched */
        char *exact = realloc(copy, cut ? cut : 1);
        memcpy(exact, bytes, cut);
        assert_false(roster_decode(slice_make(exact, cut), &read));
        free(exact);
    }
    for (size_t i = 0; i < size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            bytes[i] ^= (unsigned char)(1 << bit);
            if (roster_decode(slice_make((char *)bytes, size), &read))
                assert_true(roster_width(&read) <= RABIA_MEMBERS_MAX && roster_mask(&read, ROSTER_MEMBER) != 0);
            bytes[i] ^= (unsigned char)(1 << bit);
        }
    }
    assert_true(roster_decode(slice_make((char *)bytes, size), &read));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_then_votes_then_goes), cmocka_unit_test(replaces_in_one_step),
        cmocka_unit_test(says_why_not),                cmocka_unit_test(gives_nine_places),
        cmocka_unit_test(same_everywhere),             cmocka_unit_test(reads_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Goal: replicas that ran the same commands hold the same data, down to encodings
 * and saved bytes, whatever is particular to each: hash secret, addresses, the
 * history of its tables, reads of its own clients, whether replies are wanted,
 * access clocks, memory given back, and having been made from a snapshot.
 *
 * Method: three keyspaces run the same random commands of every type, alone and
 * in transactions, valid and not, with changing settings and time.  The first
 * answers clients and reads; the second, with another secret and a past, answers
 * nobody; the third is written as a snapshot and read into a new keyspace at
 * random moments.  After each step replies, events and changes counted are
 * compared, and all data. */
#include "../persist/snapshot_fixture.h"

#include "command/internal.h"
#include "command/run.h"
#include "command/transaction.h"
#include "store/marks.h"
#include "store/watch.h"

enum { SITES = 3, OWNER = 0, SILENT = 1, RESTORED = 2, DBS = 2, KEYS = 14, WATCHERS = 3 };
enum { ARGUMENTS_MAX = 4096, TEXT_MAX = 1 << 20, NESTED_MAX = 5, SEEDS = 6, STEPS = 2500 };

struct site {
    struct keyspace *ks;
    struct buf out, events;
    unsigned char secret[16];
    uint64_t changes; /* of the keyspaces before this one */
};

static struct site sites[SITES];
static struct command_table *table;
static struct random dice;
static char trace[400];

/* --- a command line ------------------------------------------------------------------ */

struct line {
    struct slice argv[ARGUMENTS_MAX];
    int argc;
    char text[TEXT_MAX];
    size_t used;
};
static struct line line, nested;

static uint64_t roll(uint64_t sides)
{
    return random_below(&dice, sides);
}

static void put(struct line *l, const char *bytes, size_t size)
{
    assert_true(l->used + size <= TEXT_MAX);
    assert_true(l->argc < ARGUMENTS_MAX);
    memcpy(l->text + l->used, bytes, size);
    l->argv[l->argc++] = slice_make(l->text + l->used, size);
    l->used += size;
}

__attribute__((format(printf, 2, 3))) static void putf(struct line *l, const char *format, ...)
{
    char text[128];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    put(l, text, (size_t)size);
}

static void put_one_of(struct line *l, const char *const *words, size_t count)
{
    const char *word = words[roll(count)];
    put(l, word, strlen(word));
}
#define PUT_ONE_OF(l, ...)                                                                         \
    put_one_of(l, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void put_member(struct line *l)
{
    char room[300];
    size_t long_sizes[] = {63, 64, 65, 127, 128, 300};
    switch (roll(12)) {
    case 0: putf(l, "%lld", (long long)random_integer(&dice)); break;
    case 1:
    case 2:
    case 3: putf(l, "%d", (int)roll(60) - 9); break;
    case 4:
        if (roll(4) == 0) {
            size_t size = long_sizes[roll(6)];
            memset(room, 'a' + (int)roll(3), size);
            put(l, room, size);
            break;
        }
        PUT_ONE_OF(l, "", "-0", "+1", "007", "1.0", "9223372036854775808", "a b\r\n", "nan");
        break;
    default: putf(l, "m%d", (int)roll(40)); break;
    }
}

static void put_score(struct line *l)
{
    switch (roll(8)) {
    case 0: PUT_ONE_OF(l, "inf", "-inf", "-0", "0", "nan", "1e308", "-1e308", "1e-320", "x"); break;
    case 1: putf(l, "%.17g", (double)random_integer(&dice) / 7); break;
    case 2: putf(l, "%lld", (long long)random_integer(&dice)); break;
    default: putf(l, "%d.%d", (int)roll(20) - 10, (int)roll(3) * 25); break;
    }
}

static void put_bound(struct line *l)
{
    if (roll(4) == 0)
        PUT_ONE_OF(l, "-inf", "+inf", "inf", "(0", "(x");
    else
        putf(l, "%s%d", roll(3) ? "" : "(", (int)roll(20) - 10);
}

static void put_lex(struct line *l)
{
    if (roll(3) == 0)
        PUT_ONE_OF(l, "-", "+", "(", "[", "x");
    else
        putf(l, "%cm%d", roll(2) ? '[' : '(', (int)roll(40));
}

static void put_integer(struct line *l)
{
    if (roll(4) == 0)
        PUT_ONE_OF(l, "9223372036854775807", "-9223372036854775808", "-9223372036854775807", "9223372036854775808",
                   "2147483648", "x", "");
    else
        putf(l, "%d", (int)roll(24) - 8);
}

static void put_value(struct line *l)
{
    char room[1000];
    switch (roll(4)) {
    case 0: put_member(l); break;
    case 1: put_integer(l); break;
    case 2: putf(l, "%d.%d", (int)roll(20), (int)roll(100)); break;
    default: {
        size_t size = roll(10) ? roll(70) : roll(sizeof room);
        memset(room, 'a' + (int)roll(4), size);
        put(l, room, size);
    }
    }
}

/* Mostly one of the two keys that the command's family likes, so that values live
 * long enough to grow. */
static int liked_key = -1;
static void put_key(struct line *l)
{
    putf(l, "k%d", roll(10) && liked_key >= 0 ? liked_key + (int)roll(2) : (int)roll(KEYS));
}

static size_t some(void)
{
    return roll(8) ? 1 + roll(5) : 1 + roll(roll(4) ? 150 : 700);
}

/* A word of text with %n and %b, numbers, in it. */
static void put_mixed(struct line *l, const char *word, size_t size)
{
    char text[64];
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        assert_true(used + 8 < sizeof text);
        if (word[i] != '%') {
            text[used++] = word[i];
            continue;
        }
        int number = (int)roll(word[++i] == 'n' ? 5 : 3000);
        used += (size_t)snprintf(text + used, sizeof text - used, "%d", number);
    }
    put(l, text, used);
}

/* A letter behind % stands for a random argument, or several. */
static void put_word(struct line *l, const char *word, size_t size)
{
    if (word[0] != '%' || size > 2) {
        put_mixed(l, word, size);
        return;
    }
    size_t count = some();
    switch (word[1]) {
    case 'k': put_key(l); break;
    case 'm': put_member(l); break;
    case 'v': put_value(l); break;
    case 'f': put_score(l); break;
    case 'r': put_bound(l); break;
    case 'l': put_lex(l); break;
    case 'x': put_integer(l); break;
    case 'n': putf(l, "%d", (int)roll(5)); break;
    case 'b': putf(l, "%d", (int)roll(3000)); break;
    case 't': putf(l, "%d", (int)roll(4000) - 100); break;
    case 'd': putf(l, "%d", (int)roll(DBS + (roll(20) == 0))); break;
    case 'e': PUT_ONE_OF(l, "LEFT", "RIGHT"); break;
    case 'u': PUT_ONE_OF(l, "m", "km", "ft", "mi"); break;
    case 'o': putf(l, "%.6f", (double)roll(4000000) / 1e6 - 2); break;
    case 'K': /* number of keys, and those */
        count = 1 + roll(3);
        putf(l, "%d", (int)count);
        while (count--)
            put_key(l);
        break;
    case 'S': /* keys */
        for (count = 1 + roll(3); count > 0; count--)
            put_key(l);
        break;
    case 'M':
        while (count--)
            put_member(l);
        break;
    case 'V':
        while (count--)
            put_value(l);
        break;
    case 'H':
        while (count--) {
            put_member(l);
            put_value(l);
        }
        break;
    case 'Z':
        while (count--) {
            if (roll(40))
                putf(l, "%d.%d", (int)roll(20) - 10, (int)roll(3) * 25);
            else
                put_score(l);
            put_member(l);
        }
        break;
    case 'G':
        for (count = 1 + roll(4); count > 0; count--) {
            put_word(l, "%o", 2);
            put_word(l, "%o", 2);
            put_member(l);
        }
        break;
    default: fail();
    }
}

static void put_words(struct line *l, const char *words)
{
    while (*words) {
        size_t size = strcspn(words, " ");
        put_word(l, words, size);
        words += size + (words[size] == ' ');
    }
}

static const char *const writes[] = {
    /* strings */
    "SET %k %v", "SET %k %v", "SET %k %v PX %t", "SET %k %v KEEPTTL", "SET %k %v XX GET", "SETRANGE %k %b %v",
    "APPEND %k %v", "INCR %k", "INCRBY %k %x", "DECRBY %k %x", "INCRBYFLOAT %k %f", "GETSET %k %v", "GETDEL %k",
    "GETEX %k PX %t", "GETEX %k PERSIST", "SETBIT %k %b 1", "BITOP XOR %k %S", "BITOP NOT %k %k",
    "BITFIELD %k SET u8 %b %n INCRBY i16 #%n %n", "BITFIELD %k OVERFLOW FAIL INCRBY u2 %b %n", "MSET %k %v %k %v",
    "MSETNX %k %v %k %v", "SETNX %k %v", "PSETEX %k %t %v", "LCS %k %k",
    /* keys */
    "DEL %S", "UNLINK %S", "RENAME %k %k", "RENAMENX %k %k", "COPY %k %k", "COPY %k %k REPLACE",
    "COPY %k %k DB %d REPLACE", "MOVE %k %d", "PEXPIRE %k %t", "PEXPIRE %k %t", "PEXPIRE %k %t GT", "PEXPIREAT %k %t",
    "PERSIST %k", "TOUCH %S", "FLUSHDB ASYNC", "SWAPDB %d %d",
    /* lists */
    "LPUSH %k %V", "RPUSH %k %V", "LPUSHX %k %V", "RPUSHX %k %V", "LPOP %k", "RPOP %k", "LPOP %k %n", "RPOP %k %x",
    "LSET %k %x %v", "LINSERT %k BEFORE %v %v", "LINSERT %k AFTER %v %v", "LREM %k %x %v", "LTRIM %k %x %x",
    "LMOVE %k %k %e %e", "RPOPLPUSH %k %k", "BLMOVE %k %k %e %e 1", "BLPOP %S 1", "BRPOP %S 1", "LMPOP %K %e COUNT %b",
    "BLMPOP 1 %K %e",
    /* hashes */
    "HSET %k %H", "HSET %k %H", "HMSET %k %H", "HSETNX %k %m %v", "HDEL %k %M", "HINCRBY %k %m %x",
    "HINCRBYFLOAT %k %m %f",
    /* sets */
    "SADD %k %M", "SADD %k %M", "SREM %k %M", "SPOP %k", "SPOP %k %n", "SPOP %k %b", "SMOVE %k %k %m",
    "SINTERSTORE %k %S", "SUNIONSTORE %k %S", "SDIFFSTORE %k %S",
    /* sorted sets */
    "ZADD %k %Z", "ZADD %k %Z", "ZADD %k NX %Z", "ZADD %k XX CH %Z", "ZADD %k GT CH %Z", "ZADD %k LT %Z",
    "ZADD %k INCR %f %m", "ZINCRBY %k %f %m", "ZREM %k %M", "ZPOPMIN %k", "ZPOPMAX %k %n", "ZPOPMIN %k %b",
    "BZPOPMIN %S 1", "ZMPOP %K MAX COUNT %b", "ZREMRANGEBYRANK %k %x %x", "ZREMRANGEBYSCORE %k %r %r",
    "ZREMRANGEBYLEX %k %l %l", "ZRANGESTORE %k %k %x %x", "ZRANGESTORE %k %k %r %r BYSCORE LIMIT %n %b",
    "ZRANGESTORE %k %k %l %l BYLEX REV", "ZUNIONSTORE %k 2 %k %k WEIGHTS %f %f", "ZUNIONSTORE %k %K",
    "ZUNIONSTORE %k %K AGGREGATE MAX", "ZINTERSTORE %k %K", "ZINTERSTORE %k %K AGGREGATE MIN", "ZDIFFSTORE %k %K",
    /* places */
    "GEOADD %k %G", "GEOADD %k XX CH %G", "GEOSEARCHSTORE %k %k FROMLONLAT %o %o BYRADIUS %b %u STOREDIST",
    "GEOSEARCHSTORE %k %k FROMLONLAT %o %o BYBOX %b %b %u COUNT %n ANY",
    "GEORADIUS %k %o %o %b %u STORE %k", "GEORADIUSBYMEMBER %k %m %b %u COUNT %n STOREDIST %k",
    /* streams */
    "XADD %k * %m %v", "XADD %k MAXLEN ~ %b %n-%n %m %v", "XADD %k MAXLEN 20 %b-* %m %v %m %v", "XADD %k NOMKSTREAM * %H",
    "XTRIM %k MAXLEN %b", "XTRIM %k MINID ~ %b LIMIT %b", "XDEL %k %n-%n %b-0 %b-1", "XSETID %k %b-%n",
    "XGROUP CREATE %k g%n 0 MKSTREAM", "XGROUP CREATE %k g%n $ ENTRIESREAD %n", "XGROUP SETID %k g%n %b",
    "XGROUP DESTROY %k g%n", "XGROUP CREATECONSUMER %k g%n c%n", "XGROUP DELCONSUMER %k g%n c%n",
    "XREADGROUP GROUP g%n c%n COUNT %n STREAMS %k >", "XREADGROUP GROUP g%n c%n NOACK STREAMS %k %k > >",
    "XREADGROUP GROUP g%n c%n STREAMS %k 0", "XREADGROUP GROUP g%n c%n BLOCK 1 STREAMS %k >", "XACK %k g%n %n-%n %b-0",
    "XCLAIM %k g%n c%n %t %b-0 %b-1 FORCE", "XCLAIM %k g%n c%n 0 %n-%n JUSTID IDLE %b", "XAUTOCLAIM %k g%n c%n %t 0 COUNT %n",
    /* counters of distinct things, sorting */
    "PFADD %k %M", "PFADD %k %M", "PFMERGE %k %S", "PFCOUNT %S", "SORT %k ALPHA STORE %k", "SORT %k BY nosort STORE %k",
    "SORT %k BY nosort LIMIT %n %n STORE %k", "SORT %k STORE %k", "SORT %k BY k* GET # GET k*->m1 DESC ALPHA STORE %k",
};

static const char *const reads[] = {
    "GET %k", "TTL %k", "TYPE %k", "OBJECT ENCODING %k", "OBJECT FREQ %k", "OBJECT IDLETIME %k", "RANDOMKEY", "SCAN 0",
    "KEYS *", "EXISTS %S", "LRANGE %k %x %x", "LPOS %k %v RANK %x COUNT 0", "LINDEX %k %x", "HGETALL %k",
    "HRANDFIELD %k %x WITHVALUES", "HSCAN %k 0", "SMEMBERS %k", "SRANDMEMBER %k %n", "SSCAN %k 0 COUNT %b", "SINTER %S",
    "SUNION %S", "SDIFF %S", "ZRANGE %k 0 -1 WITHSCORES", "ZRANGEBYSCORE %k %r %r", "ZRANDMEMBER %k -%n WITHSCORES",
    "ZSCAN %k 0", "ZUNION %K WITHSCORES", "ZINTERCARD %K LIMIT %n", "GEOSEARCH %k FROMLONLAT %o %o BYRADIUS %b %u",
    "XRANGE %k - +", "XREAD COUNT 2 STREAMS %k 0", "XPENDING %k g%n", "XINFO STREAM %k FULL", "DUMP %k", "GEOPOS %k %M", "GEOHASH %k %M", "SORT_RO %k ALPHA", "MEMORY USAGE %k", "STRLEN %k", "BITCOUNT %k", "BITPOS %k 1",
    "DBSIZE", "ZRANK %k %m", "ZCOUNT %k %r %r", "ZLEXCOUNT %k %l %l", "HSTRLEN %k %m", "SMISMEMBER %k %M",
};

enum { WRITES = sizeof writes / sizeof *writes, READS = sizeof reads / sizeof *reads };

static void clear_line(struct line *l)
{
    l->argc = 0;
    l->used = 0;
}

/* Strings, keys, lists, hashes, sets, sorted sets, places, HyperLogLogs, sorting:
 * a key for each that has a type. */
static int key_liked_by(const char *words)
{
    static const struct {
        const char *first;
        int key;
    } families[] = {{"SET ", 0}, {"DEL ", -1}, {"LPUSH ", 2}, {"HSET ", 4}, {"SADD ", 6}, {"ZADD ", 8},
                    {"GEOADD ", 8}, {"XADD ", 12}, {"PFADD ", 10}, {"SORT ", -1}};
    int key = -1;
    size_t family = 0;
    for (size_t i = 0; i < WRITES; i++) {
        if (family < sizeof families / sizeof *families &&
            strncmp(writes[i], families[family].first, strlen(families[family].first)) == 0)
            key = families[family++].key;
        if (writes[i] == words)
            break;
    }
    return key;
}

static void put_random_write(struct line *l)
{
    const char *words = writes[roll(WRITES)];
    if (strncmp(words, "FLUSHDB", 7) == 0 && roll(10))
        words = "PERSIST %k";
    liked_key = key_liked_by(words);
    put_words(l, words);
    liked_key = -1;
}

static void random_write(struct line *l)
{
    clear_line(l);
    put_random_write(l);
}

static void random_settings(struct line *l)
{
    clear_line(l);
    put(l, "+settings", 9);
    enum setting setting = (enum setting)roll(SETTING_KEY_METADATA);
    put(l, setting_bounds[setting].name, strlen(setting_bounds[setting].name));
    int64_t value = roll(3) ? (int64_t)roll(80) : setting_bounds[setting].initial;
    if (setting == SETTING_LIST_MAX_LISTPACK_SIZE && roll(2))
        value = -1 - (int64_t)roll(5);
    putf(l, "%lld", (long long)value);
}

static void put_watcher(struct line *l)
{
    const struct watcher_id id = {.member = 3, .life = 77, .number = 1 + roll(WATCHERS)};
    char bytes[WATCHER_ID_BYTES];
    watcher_id_put(&id, bytes);
    put(l, bytes, sizeof bytes);
}

static void random_watch(struct line *l)
{
    clear_line(l);
    put(l, "+watch", 6);
    put_watcher(l);
    put_words(l, "%S");
}

static void random_transaction(struct line *l)
{
    clear_line(l);
    put(l, "+exec", 5);
    if (roll(2))
        put_watcher(l);
    else
        put(l, "", 0);
    static const char *const conditions[] = {"NX %k", "XX %k", "IFEQ %k %v", "IFNE %k %v"};
    if (roll(4) == 0) {
        size_t which = roll(4);
        putf(l, "%d", which < 2 ? 2 : 3);
        put_words(l, conditions[which]);
    } else {
        put(l, "0", 1);
    }
    for (uint64_t left = 1 + roll(NESTED_MAX); left > 0; left--) {
        char error[COMMAND_ERROR_MAX];
        clear_line(&nested);
        if (roll(4))
            put_random_write(&nested);
        else
            put_words(&nested, reads[roll(READS)]);
        if (l->argc + nested.argc >= ARGUMENTS_MAX || !command_resolve(table, nested.argc, nested.argv, error))
            continue; /* refused before it is queued */
        char head[TRANSACTION_HEAD_MAX];
        put(l, head, transaction_head_put(head, (int)roll(DBS), nested.argc));
        for (int i = 0; i < nested.argc; i++)
            put(l, nested.argv[i].ptr, nested.argv[i].len);
    }
}

/* --- three sites --------------------------------------------------------------------- */

static void note(void *context, enum keyspace_event_class event_class, const char *name, int db, struct slice key)
{
    if (event_class != EVENT_KEY_MISS) /* reads have them, too */
        buf_printf(context, "%d %s %d %.*s\n", (int)event_class, name, db, (int)key.len, key.ptr);
}

static struct keyspace *new_keyspace(struct site *s)
{
    struct keyspace_options options = {.database_count = DBS, .on_event = note, .event_context = &s->events};
    for (size_t i = 0; i < sizeof s->secret; i++)
        options.hash_secret[i] = (unsigned char)roll(256);
    return keyspace_create(&options);
}

static void on_nested(void *host, const struct command *row, bool is_over)
{
    (void)host, (void)row, (void)is_over;
}

static void run_at(struct site *s, const struct line *l, const struct command *row, int db, uint64_t seed)
{
    struct reply reply = {.out = s == &sites[SILENT] ? NULL : &s->out, .protocol = 2};
    buf_clear(&s->out);
    buf_clear(&s->events);
    struct call c = {.ks = s->ks,
                     .reply = &reply,
                     .command = row,
                     .argc = l->argc,
                     .argv = l->argv,
                     .db = db,
                     .seed = seed,
                     .now_ms = keyspace_now(s->ks),
                     .table = table};
    if (s == &sites[OWNER]) {
        c.host = s;
        c.on_nested = on_nested;
    }
    if (s == &sites[RESTORED]) {
        uint64_t hash;
        command_prefetch(&c, 1, &hash);
        command_run_hinted(&c, hash);
    } else {
        command_run(&c);
    }
}

static void expect_alike(struct slice a, struct slice b, const char *what)
{
    if (!slice_equal(a, b)) {
        print_error("%s: %s differ: %.*s and %.*s\n", trace, what, (int)a.len, a.ptr, (int)b.len, b.ptr);
        fail();
    }
}

static void note_trace(const struct line *l, int db)
{
    int used = snprintf(trace, sizeof trace, "db %d", db);
    for (int i = 0; i < l->argc && used < (int)sizeof trace; i++)
        used += snprintf(trace + used, sizeof trace - (size_t)used, " %.*s", (int)l->argv[i].len, l->argv[i].ptr);
}

static void compare_step(bool has_own_reads)
{
    for (int i = 1; i < SITES; i++) {
        expect_alike(buf_slice(&sites[0].events), buf_slice(&sites[i].events), "events");
        if (keyspace_changes(sites[0].ks) != sites[i].changes + keyspace_changes(sites[i].ks)) {
            print_error("%s: changes counted differ\n", trace);
            fail();
        }
    }
    if (!has_own_reads)
        expect_alike(buf_slice(&sites[OWNER].out), buf_slice(&sites[RESTORED].out), "replies");
}

static void compare_data(void)
{
    keyspace_check(sites[OWNER].ks);
    for (int i = 1; i < SITES; i++) {
        if (!digests_equal(keyspace_digest(sites[OWNER].ks), keyspace_digest(sites[i].ks)))
            print_error("%s: digests differ at site %d\n", trace, i);
        assert_same(sites[OWNER].ks, sites[i].ks);
    }
}

static void run_everywhere(const struct line *l, bool has_own_reads)
{
    char error[COMMAND_ERROR_MAX];
    const struct command *row = command_is_internal_name(l->argv[0]) ? command_find_internal(l->argv[0])
                                                                      : command_resolve(table, l->argc, l->argv, error);
    if (!row)
        return;
    int db = (int)roll(DBS);
    uint64_t seed = random_next(&dice);
    note_trace(l, db);
    for (int i = 0; i < SITES; i++)
        run_at(&sites[i], l, row, db, seed);
    compare_step(has_own_reads);
}

/* A value as DUMP writes it comes back under another name. */
static void restore_a_dump(void)
{
    char error[COMMAND_ERROR_MAX];
    clear_line(&line);
    put_words(&line, "DUMP %k");
    struct site *s = &sites[OWNER];
    const struct entry *e = keyspace_peek(s->ks, 0, line.argv[1]);
    if (!e)
        return;
    run_at(s, &line, command_resolve(table, line.argc, line.argv, error), 0, 0);
    struct slice reply = buf_slice(&s->out);
    const char *payload = memchr(reply.ptr, '\n', reply.len);
    assert_non_null(payload);
    clear_line(&nested);
    put(&nested, payload + 1, (size_t)(reply.ptr + reply.len - payload) - 3);
    clear_line(&line);
    put_words(&line, roll(2) ? "RESTORE %k 0" : "RESTORE %k 900");
    put(&line, nested.argv[0].ptr, nested.argv[0].len);
    if (roll(2))
        put(&line, "REPLACE", 7);
    run_everywhere(&line, false);
}

/* --- what each has for itself ----------------------------------------------------------- */

static void read_own(struct site *s)
{
    char error[COMMAND_ERROR_MAX];
    clear_line(&line);
    put_words(&line, reads[roll(READS)]);
    const struct command *row = command_resolve(table, line.argc, line.argv, error);
    if (row) {
        int db = (int)roll(DBS);
        note_trace(&line, db);
        run_at(s, &line, row, db, random_next(&dice));
        assert_int_equal(buf_size(&s->events), 0);
    }
}

static void restore(struct site *s)
{
    struct snapshot_head head = sample_head();
    struct buf bytes = written_with(s->ks, &head, roll(2)), watched;
    struct keyspace *fresh = new_keyspace(s);
    struct snapshot_reader *reader = snapshot_reader_create(fresh);
    assert_int_equal(feed_all(reader, buf_slice(&bytes), 1 + roll(100000)), STATUS_OK);
    snapshot_reader_free(reader);
    buf_deinit(&bytes);
    buf_init(&watched);
    watches_write(keyspace_watches(s->ks), &watched);
    const char *at = buf_head(&watched);
    assert_true(watches_read(keyspace_watches(fresh), &at, at + buf_size(&watched)));
    buf_deinit(&watched);
    for (int i = 0; i < SETTING_COUNT; i++)
        if (setting_is_agreed(keyspace_settings(s->ks), (enum setting)i))
            keyspace_set_setting(fresh, i, setting_value(keyspace_settings(s->ks), (enum setting)i));
    s->changes += keyspace_changes(s->ks);
    keyspace_free(s->ks);
    s->ks = fresh;
    snprintf(trace, sizeof trace, "restored");
}

static void live(struct site *s)
{
    switch (roll(6)) {
    case 0: keyspace_set_lfu(s->ks, roll(2)); break;
    case 1: keyspace_set_access_clock(s->ks, (int64_t)roll(1000000000)); break;
    case 2: keyspace_reclaim(s->ks, (unsigned)roll(100)); break;
    case 3: keyspace_set_unnoticed(s->ks, roll(2)); break;
    default: read_own(s); break;
    }
}

static void pass_time(void)
{
    int64_t now = keyspace_now(sites[OWNER].ks) + (int64_t)roll(600);
    size_t limit = roll(3) ? roll(4) : 100;
    for (int i = 0; i < SITES; i++) {
        buf_clear(&sites[i].events);
        buf_clear(&sites[i].out);
        keyspace_advance(sites[i].ks, now);
        keyspace_expire_due(sites[i].ks, limit);
    }
    snprintf(trace, sizeof trace, "time");
    compare_step(false);
}

static void step(void)
{
    uint64_t die = roll(100);
    if (die < 3) {
        random_settings(&line);
        run_everywhere(&line, false);
    } else if (die < 15) {
        random_transaction(&line);
        run_everywhere(&line, true);
    } else if (die < 19) {
        random_watch(&line);
        run_everywhere(&line, false);
    } else if (die < 22) {
        restore(&sites[RESTORED]);
    } else if (die < 27) {
        pass_time();
    } else if (die < 30) {
        restore_a_dump();
    } else if (die < 40) {
        live(&sites[roll(SITES)]);
    } else {
        random_write(&line);
        run_everywhere(&line, false);
    }
    compare_data();
}

static void give_a_past(struct keyspace *ks)
{
    char name[32];
    for (int i = 0; i < 3000; i++) {
        struct slice key = slice_make(name, (size_t)snprintf(name, sizeof name, "past%d", i));
        keyspace_set(ks, i % DBS, key, key, i % 3 ? EXPIRE_NONE : NOW_MS + i);
    }
    keyspace_flush(ks, -1, true);
}

static void live_through(uint64_t seed)
{
    random_init(&dice, seed);
    for (int i = 0; i < SITES; i++) {
        sites[i] = (struct site){0};
        sites[i].ks = new_keyspace(&sites[i]);
        keyspace_advance(sites[i].ks, NOW_MS);
    }
    give_a_past(sites[SILENT].ks);
    for (int i = 0; i < STEPS; i++)
        step();
    for (int i = 0; i < SITES; i++) {
        keyspace_free(sites[i].ks);
        buf_deinit(&sites[i].out);
        buf_deinit(&sites[i].events);
    }
}

/* REPLICAS_ALIKE_SEED: the one to repeat, or to begin with; _SEEDS: so many. */
static void replicas_that_ran_the_same_are_alike(void **state)
{
    (void)state;
    const char *first = getenv("REPLICAS_ALIKE_SEED"), *count = getenv("REPLICAS_ALIKE_SEEDS");
    uint64_t seed = first ? strtoull(first, NULL, 10) : 1, left = count ? strtoull(count, NULL, 10) : SEEDS;
    table = command_table_create();
    command_table_add_data_types(table);
    for (; left > 0; left--, seed++) {
        print_message("seed %llu\n", (unsigned long long)seed); /* repeats a failure */
        live_through(seed);
    }
    command_table_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replicas_that_ran_the_same_are_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

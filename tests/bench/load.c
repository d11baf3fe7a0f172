/* A load generator for RESP servers, frugal with CPU.
 *
 *   load -p PORT[,PORT...] [-h HOST] [-t set|get|setwait|etcdput|fill] [-c 50] [-P 1]
 *        [-d 64] [-r 1000000] [-s SEED] [-S SECONDS]
 *
 * One thread, one epoll.  Each of the -c connections (spread over the ports in
 * turn) keeps one batch of -P commands under way: it writes them at once,
 * reads all replies, writes the next.  Keys are key:<12 digits>, drawn by each
 * connection from its own seed, so that no two send the same sequence.
 * setwait sends WAIT 1 0 after every SET and counts the two as one operation.
 * etcdput is a put through the JSON gateway of etcd 3.4, one at a time per
 * connection.  fill sets every key once, in order, and stops.
 *
 * The command text is written once per connection; for each batch only the
 * digits change.  Latency is that of a batch, from before its write until its
 * last reply is read; microsecond buckets.
 *
 * Prints one JSON object: operations, seconds, rate, p50, p99, p999 and max in
 * microseconds, errors (replies that are errors), missing (null replies), and
 * the generator's own CPU seconds.  Exit 1 if a connection fails. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PORTS_MAX = 16, KEY_DIGITS = 12, INPUT_BYTES = 1 << 16, BUCKETS = 1 << 20 };
enum kind { KIND_SET, KIND_GET, KIND_SET_WAIT, KIND_ETCD_PUT, KIND_FILL };

struct options {
    const char *host;
    int ports[PORTS_MAX], port_count;
    enum kind kind;
    int clients, depth;
    size_t value_bytes;
    uint64_t keys, seed;
    double seconds;
};

struct client {
    int fd;
    uint64_t random[2];
    char *text;              /* one batch of commands */
    size_t text_bytes, sent;
    bool waits_to_send; /* the socket was full */
    size_t digits_at, stride; /* of the first key in text; from one key to the next */
    int replies_left;
    size_t skip; /* bytes of the current bulk reply still to come */
    size_t body_bytes; /* of the HTTP answer under way */
    char *line;  /* an unfinished reply line */
    size_t line_bytes;
    uint64_t began_ns;
};

struct run {
    struct options options;
    uint64_t next_key, operations, errors, missing, latency_us_max, batches;
    uint32_t *latency; /* batches by microsecond; the last bucket is "more" */
    uint64_t end_ns;
    int epoll, busy;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

_Noreturn static void fail(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, errno ? strerror(errno) : "unexpected");
    exit(1);
}

static uint64_t mix(uint64_t word)
{
    word += 0x9e3779b97f4a7c15u;
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
    return word ^ (word >> 31);
}

/* xoroshiro128+ (Blackman and Vigna). */
static uint64_t next_random(struct client *c)
{
    uint64_t a = c->random[0], b = c->random[1], result = a + b;
    b ^= a;
    c->random[0] = ((a << 24) | (a >> 40)) ^ b ^ (b << 16);
    c->random[1] = (b << 37) | (b >> 27);
    return result;
}

static void put_digits(char *at, uint64_t number)
{
    for (int i = KEY_DIGITS - 1; i >= 0; i--, number /= 10)
        at[i] = (char)('0' + number % 10);
}

/* The gateway wants base64; twelve digits are the base64 of nine bytes. */
static void client_write_etcd_text(struct client *c, size_t value_bytes)
{
    char value[4096], body[8192], digits[] = "000000000000";
    size_t encoded = value_bytes / 3 * 4;
    if (encoded >= sizeof value)
        fail("value too long for etcdput");
    for (size_t i = 0; i < encoded; i++)
        value[i] = (char)('a' + mix(i) % 26);
    value[encoded] = '\0';
    int body_size = snprintf(body, sizeof body, "{\"key\":\"%s\",\"value\":\"%s\"}", digits, value);
    size_t room = (size_t)body_size + 256;
    c->text = malloc(room);
    if (!c->text)
        fail("memory");
    int size = snprintf(c->text, room,
                        "POST /v3/kv/put HTTP/1.1\r\nHost: etcd\r\nContent-Type: application/json\r\n"
                        "Content-Length: %d\r\n\r\n%s",
                        body_size, body);
    c->text_bytes = c->stride = (size_t)size;
    c->digits_at = (size_t)(strstr(c->text, digits) - c->text);
}

/* Writes the batch's text with zeros for digits. */
static void client_write_text(struct run *run, struct client *c)
{
    const struct options *o = &run->options;
    if (o->kind == KIND_ETCD_PUT) {
        client_write_etcd_text(c, o->value_bytes);
        return;
    }
    size_t room = ((size_t)o->depth) * (o->value_bytes + 160);
    char *value = malloc(o->value_bytes + 1);
    c->text = malloc(room);
    if (!c->text || !value)
        fail("memory");
    for (size_t i = 0; i < o->value_bytes; i++)
        value[i] = (char)('a' + mix(i) % 26);
    value[o->value_bytes] = '\0';
    char *at = c->text;
    for (int i = 0; i < o->depth; i++) {
        char *start = at;
        size_t left = room - (size_t)(at - c->text);
        const char *key = "$16\r\nkey:000000000000\r\n";
        int size = o->kind == KIND_GET
                       ? snprintf(at, left, "*2\r\n$3\r\nGET\r\n%s", key)
                       : snprintf(at, left, "*3\r\n$3\r\nSET\r\n%s$%zu\r\n%s\r\n", key, o->value_bytes, value);
        at += size;
        if (o->kind == KIND_SET_WAIT) {
            const char *wait = "*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$1\r\n0\r\n";
            memcpy(at, wait, strlen(wait));
            at += strlen(wait);
        }
        c->stride = (size_t)(at - start);
    }
    c->digits_at = strlen("*2\r\n$3\r\nGET\r\n$16\r\nkey:");
    c->text_bytes = (size_t)(at - c->text);
    free(value);
}

static void client_connect(struct run *run, struct client *c, int number)
{
    const struct options *o = &run->options;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)o->ports[number % o->port_count])};
    if (inet_pton(AF_INET, o->host, &address.sin_addr) != 1)
        fail("host");
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0)
        fail("connect");
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->random[0] = mix(o->seed * 1000003u + (uint64_t)number);
    c->random[1] = mix(c->random[0]);
    client_write_text(run, c);
    c->line = malloc(256);
    if (!c->line)
        fail("memory");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
        fail("epoll");
}

/* Writes what the socket takes, and asks to be told when it takes more. */
static void client_flush(struct run *run, struct client *c)
{
    while (c->sent < c->text_bytes) {
        ssize_t size = send(c->fd, c->text + c->sent, c->text_bytes - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0 && errno != EAGAIN)
            fail("send");
        if (size < 0)
            break;
        c->sent += (size_t)size;
    }
    bool waits = c->sent < c->text_bytes;
    if (waits != c->waits_to_send) {
        c->waits_to_send = waits;
        struct epoll_event event = {.events = waits ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = c};
        epoll_ctl(run->epoll, EPOLL_CTL_MOD, c->fd, &event);
    }
}

/* The next batch; false when the run is over for this client. */
static bool client_begin(struct run *run, struct client *c, uint64_t now)
{
    const struct options *o = &run->options;
    if (o->kind == KIND_FILL ? run->next_key >= o->keys : now >= run->end_ns)
        return false;
    char *digits = c->text + c->digits_at;
    for (int i = 0; i < o->depth; i++, digits += c->stride)
        put_digits(digits, o->kind == KIND_FILL ? run->next_key++ % o->keys : next_random(c) % o->keys);
    c->sent = 0;
    c->replies_left = o->depth * (o->kind == KIND_SET_WAIT ? 2 : 1);
    c->began_ns = now;
    client_flush(run, c);
    return true;
}

static void count_latency(struct run *run, uint64_t ns)
{
    uint64_t us = ns / 1000;
    if (us > run->latency_us_max)
        run->latency_us_max = us;
    run->latency[us < BUCKETS ? us : BUCKETS - 1]++;
    run->batches++;
}

/* A line of an HTTP answer's head; the empty one ends it. */
static void client_http_line(struct run *run, struct client *c, const char *line, size_t size)
{
    static const char status[] = "HTTP/1.1 ", length[] = "Content-Length: ";
    if (size >= sizeof status + 2 && memcmp(line, status, sizeof status - 1) == 0)
        run->errors += memcmp(line + sizeof status - 1, "200", 3) != 0;
    else if (size >= sizeof length && memcmp(line, length, sizeof length - 1) == 0)
        c->body_bytes = strtoul(line + sizeof length - 1, NULL, 10);
    if (size == 0) {
        c->skip = c->body_bytes;
        c->replies_left--;
    }
}

/* One complete reply line, without CR LF. */
static void client_line(struct run *run, struct client *c, const char *line, size_t size)
{
    if (size && line[0] == '-') {
        if (run->errors++ == 0)
            fprintf(stderr, "load: %.*s\n", (int)size, line);
    } else if (size && line[0] == '$') {
        long bytes = strtol(line + 1, NULL, 10);
        if (bytes >= 0)
            c->skip = (size_t)bytes + 2;
        else
            run->missing++;
    } else if (!size || (line[0] != '+' && line[0] != ':' && line[0] != '_')) {
        errno = 0;
        fail("reply");
    }
    c->replies_left--;
}

static void client_take(struct run *run, struct client *c, const char *at, size_t left)
{
    static const char ok[] = "+OK\r\n";
    while (left) {
        if (c->skip) {
            size_t size = c->skip < left ? c->skip : left;
            c->skip -= size, at += size, left -= size;
            continue;
        }
        if (!c->line_bytes && left >= 5 && memcmp(at, ok, 5) == 0) {
            c->replies_left--, at += 5, left -= 5;
            continue;
        }
        const char *end = memchr(at, '\n', left);
        size_t size = end ? (size_t)(end - at) + 1 : left;
        if (c->line_bytes + size > 255) {
            errno = 0;
            fail("reply line too long");
        }
        memcpy(c->line + c->line_bytes, at, size);
        c->line_bytes += size, at += size, left -= size;
        if (end) {
            c->line[c->line_bytes] = '\0';
            size_t length = c->line_bytes >= 2 ? c->line_bytes - 2 : 0;
            c->line_bytes = 0;
            if (run->options.kind == KIND_ETCD_PUT)
                client_http_line(run, c, c->line, length);
            else
                client_line(run, c, c->line, length);
        }
    }
}

static void client_read(struct run *run, struct client *c)
{
    static char input[INPUT_BYTES];
    ssize_t size = recv(c->fd, input, sizeof input, MSG_DONTWAIT);
    if (size == 0) {
        errno = ECONNRESET;
        fail("the server closed a connection");
    }
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size < 0)
        fail("receive");
    client_take(run, c, input, (size_t)size);
    if (c->replies_left || c->skip)
        return;
    uint64_t now = now_ns();
    count_latency(run, now - c->began_ns);
    run->operations += (uint64_t)run->options.depth;
    if (!client_begin(run, c, now))
        run->busy--;
}

static void run_loop(struct run *run)
{
    struct epoll_event events[128];
    while (run->busy > 0) {
        int count = epoll_wait(run->epoll, events, 128, 30000);
        if (count == 0) {
            errno = ETIMEDOUT;
            fail("no reply for 30 s");
        }
        for (int i = 0; i < count; i++) {
            struct client *c = events[i].data.ptr;
            if (c->waits_to_send)
                client_flush(run, c);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                client_read(run, c);
        }
    }
}

static uint64_t percentile_us(const struct run *run, double share)
{
    uint64_t wanted = (uint64_t)((double)run->batches * share), seen = 0;
    for (uint64_t us = 0; us < BUCKETS; us++) {
        seen += run->latency[us];
        if (seen > wanted)
            return us;
    }
    return run->latency_us_max;
}

static void print_result(const struct run *run, double seconds)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    printf("{\"operations\": %llu, \"seconds\": %.6f, \"rate\": %.1f, \"p50_us\": %llu, \"p99_us\": %llu, "
           "\"p999_us\": %llu, \"max_us\": %llu, \"errors\": %llu, \"missing\": %llu, \"cpu_s\": %.3f}\n",
           (unsigned long long)run->operations, seconds, (double)run->operations / seconds,
           (unsigned long long)percentile_us(run, 0.5), (unsigned long long)percentile_us(run, 0.99),
           (unsigned long long)percentile_us(run, 0.999), (unsigned long long)run->latency_us_max,
           (unsigned long long)run->errors, (unsigned long long)run->missing, cpu);
}

_Noreturn static void usage(void)
{
    fprintf(stderr, "usage: load -p PORT[,PORT...] [-h HOST] [-t set|get|setwait|etcdput|fill] [-c CLIENTS] [-P DEPTH]\n"
                    "            [-d VALUE_BYTES] [-r KEYS] [-s SEED] [-S SECONDS]\n");
    exit(2);
}

static void parse_ports(struct options *o, char *text)
{
    char *next = text;
    for (o->port_count = 0; next && *next && o->port_count < PORTS_MAX; o->port_count++) {
        o->ports[o->port_count] = (int)strtol(next, &next, 10);
        if (*next == ',')
            next++;
    }
}

static void parse_options(struct options *o, int argc, char **argv)
{
    *o = (struct options){.host = "127.0.0.1", .clients = 50, .depth = 1, .value_bytes = 64, .keys = 1000000,
                          .seed = 1, .seconds = 2};
    static const char *const kinds[] = {"set", "get", "setwait", "etcdput", "fill"};
    for (int option; (option = getopt(argc, argv, "p:h:t:c:P:d:r:s:S:")) != -1;) {
        switch (option) {
        case 'p': parse_ports(o, optarg); break;
        case 'h': o->host = optarg; break;
        case 'c': o->clients = (int)strtol(optarg, NULL, 10); break;
        case 'P': o->depth = (int)strtol(optarg, NULL, 10); break;
        case 'd': o->value_bytes = strtoul(optarg, NULL, 10); break;
        case 'r': o->keys = strtoull(optarg, NULL, 10); break;
        case 's': o->seed = strtoull(optarg, NULL, 10); break;
        case 'S': o->seconds = strtod(optarg, NULL); break;
        case 't':
            o->kind = KIND_SET;
            while (strcmp(kinds[o->kind], optarg) != 0)
                if (++o->kind > KIND_FILL)
                    usage();
            break;
        default: usage();
        }
    }
    if (o->kind == KIND_ETCD_PUT && o->depth != 1)
        usage();
    if (!o->port_count || o->clients < 1 || o->clients > 10000 || o->depth < 1 || o->depth > 100000 || !o->keys)
        usage();
}

int main(int argc, char **argv)
{
    static struct run run;
    parse_options(&run.options, argc, argv);
    run.latency = calloc(BUCKETS, sizeof *run.latency);
    run.epoll = epoll_create1(0);
    struct client *clients = calloc((size_t)run.options.clients, sizeof *clients);
    if (!run.latency || !clients || run.epoll < 0)
        fail("start");
    for (int i = 0; i < run.options.clients; i++)
        client_connect(&run, &clients[i], i);
    uint64_t began = now_ns();
    run.end_ns = began + (uint64_t)(run.options.seconds * 1e9);
    for (int i = 0; i < run.options.clients; i++)
        run.busy += client_begin(&run, &clients[i], now_ns());
    run_loop(&run);
    print_result(&run, (double)(now_ns() - began) / 1e9);
    for (int i = 0; i < run.options.clients; i++) {
        close(clients[i].fd);
        free(clients[i].text);
        free(clients[i].line);
    }
    free(clients);
    free(run.latency);
    return 0;
}

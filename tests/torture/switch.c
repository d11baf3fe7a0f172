/* The wire between replicas: every packet that one network namespace sends to
 * another passes here, and is dropped, delayed, doubled or overtaken on its way.
 *
 *     switch ID:FD ...     FD: the TUN device of the namespace of replica ID, whose
 *                          address is 10.99.0.ID
 *
 * The kernels' TCP on both ends is real: what is lost here is sent again by them,
 * when their timers say so.
 *
 * Orders come on stdin, a line each:
 *     seed N
 *     way FROM TO HOLD DELAY_US JITTER_US LOSS REORDER DOUBLE   the last three of a million
 *     reset A B                         both ends of each connection between A and B get a RST
 *     done                              answered "done <dropped> <overtaken> <doubled>" so far
 *
 * HOLD drops everything.  Jitter keeps the order of a way; a packet chosen by
 * REORDER comes up to REORDER_US after its time, and others pass it meanwhile. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { IDS = 64, PACKET_MAX = 65536, AT_ONCE = 64, FLOWS = 8192, QUEUED_MAX = 1 << 17, REORDER_US = 20000 };

struct way {
    bool is_held;
    uint32_t delay_us, jitter_us, loss, reorder, doubles;
    uint64_t last_due; /* jitter keeps the order */
};

struct packet {
    uint64_t due, number; /* ns; equal times leave in the order of coming */
    uint8_t to;
    uint16_t length;
    unsigned char bytes[];
};

/* One direction of a connection: what its sender wants to see next, which is what a RST to it
 * must carry. */
struct flow {
    uint8_t from, to;
    uint16_t from_port, to_port;
    uint32_t expects;
    bool is_open;
};

static int devices[IDS];
static struct way ways[IDS][IDS];
static struct flow flows[FLOWS];
static struct packet *heap[QUEUED_MAX];
static size_t heap_count;
static uint64_t next_number, random_state = 1, dropped, overtaken, doubled;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Xorshift64*. */
static uint64_t draw(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545f4914f6cdd1du;
}

static bool chance(uint32_t of_a_million)
{
    return of_a_million && (draw() >> 20) % 1000000 < of_a_million;
}

/* --- packets on their way -------------------------------------------------------- */

static bool is_sooner(const struct packet *a, const struct packet *b)
{
    return a->due != b->due ? a->due < b->due : a->number < b->number;
}

static void push(struct packet *packet)
{
    size_t at = heap_count++;
    for (; at && is_sooner(packet, heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = packet;
}

static struct packet *pop(void)
{
    struct packet *top = heap[0], *last = heap[--heap_count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < heap_count; at = child) {
        if (child + 1 < heap_count && is_sooner(heap[child + 1], heap[child]))
            child++;
        if (!is_sooner(heap[child], last))
            break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return top;
}

/* A device that takes no more loses the packet, as a real one would. */
static void deliver(uint8_t to, const unsigned char *bytes, size_t length)
{
    if (write(devices[to], bytes, length) != (ssize_t)length)
        dropped++;
}

static void send_at(uint64_t due, uint8_t to, const unsigned char *bytes, size_t length)
{
    struct packet *packet = heap_count < QUEUED_MAX ? malloc(sizeof *packet + length) : NULL;
    if (!packet) {
        dropped++;
        return;
    }
    *packet = (struct packet){.due = due, .number = next_number++, .to = to, .length = (uint16_t)length};
    memcpy(packet->bytes, bytes, length);
    push(packet);
}

static void deliver_due(uint64_t now)
{
    while (heap_count && heap[0]->due <= now) {
        struct packet *packet = pop();
        deliver(packet->to, packet->bytes, packet->length);
        free(packet);
    }
}

/* --- connections, for resets -------------------------------------------------------- */

static uint16_t get16(const unsigned char *at) { return (uint16_t)(at[0] << 8 | at[1]); }
static uint32_t get32(const unsigned char *at) { return (uint32_t)get16(at) << 16 | get16(at + 2); }
static void put16(unsigned char *at, uint16_t value)
{
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
}
static void put32(unsigned char *at, uint32_t value)
{
    put16(at, (uint16_t)(value >> 16));
    put16(at + 2, (uint16_t)value);
}

static void note_flow(uint8_t from, uint8_t to, const unsigned char *bytes, size_t length)
{
    size_t head = (size_t)(bytes[0] & 15) * 4;
    if (bytes[9] != 6 || length < head + 20)
        return;
    const unsigned char *tcp = bytes + head;
    uint16_t from_port = get16(tcp), to_port = get16(tcp + 2);
    unsigned char flags = tcp[13];
    struct flow *flow = &flows[(from * 31u + to * 7u + from_port * 1031u + to_port) % FLOWS];
    if (flags & 0x10)
        *flow = (struct flow){from, to, from_port, to_port, get32(tcp + 8), !(flags & 4)};
}

static uint32_t sum(const unsigned char *at, size_t length, uint32_t so_far)
{
    for (; length > 1; at += 2, length -= 2)
        so_far += get16(at);
    return so_far;
}

static uint16_t fold(uint32_t total)
{
    while (total >> 16)
        total = (total & 0xffff) + (total >> 16);
    return (uint16_t)~total;
}

static void address(unsigned char *at, uint8_t id)
{
    memcpy(at, (unsigned char[]){10, 99, 0, id}, 4);
}

static void send_reset(const struct flow *flow)
{
    unsigned char packet[40] = {0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6};
    address(packet + 12, flow->to);
    address(packet + 16, flow->from);
    put16(packet + 10, fold(sum(packet, 20, 0)));
    unsigned char *tcp = packet + 20;
    put16(tcp, flow->to_port);
    put16(tcp + 2, flow->from_port);
    put32(tcp + 4, flow->expects);
    tcp[12] = 5 << 4;
    tcp[13] = 4;
    put16(tcp + 16, fold(sum(tcp, 20, sum(packet + 12, 8, 6 + 20))));
    deliver(flow->from, packet, sizeof packet);
}

static void reset_between(uint8_t a, uint8_t b)
{
    for (int i = 0; i < FLOWS; i++) {
        struct flow *flow = &flows[i];
        if (flow->is_open && ((flow->from == a && flow->to == b) || (flow->from == b && flow->to == a))) {
            send_reset(flow);
            flow->is_open = false;
        }
    }
}

/* --- the way of a packet --------------------------------------------------------------- */

static void forward(uint8_t from, const unsigned char *bytes, size_t length, uint64_t now)
{
    if (length < 20 || bytes[0] >> 4 != 4 || bytes[16] != 10 || bytes[17] != 99 || bytes[19] >= IDS)
        return; /* the kernel's own IPv6 greetings, for one */
    uint8_t to = bytes[19];
    struct way *way = &ways[from][to];
    if (devices[to] < 0 || way->is_held || chance(way->loss)) {
        dropped++;
        return;
    }
    note_flow(from, to, bytes, length);
    uint64_t due = now + way->delay_us * 1000u + (way->jitter_us ? draw() % (way->jitter_us * UINT64_C(1000)) : 0);
    if (due < way->last_due)
        due = way->last_due;
    way->last_due = due;
    if (chance(way->doubles)) {
        doubled++;
        send_at(due + draw() % (REORDER_US * UINT64_C(1000)), to, bytes, length);
    }
    if (chance(way->reorder)) {
        overtaken++;
        due += draw() % (REORDER_US * UINT64_C(1000));
    }
    if (due > now || (heap_count && heap[0]->due <= now))
        send_at(due, to, bytes, length);
    else
        deliver(to, bytes, length);
}

static void take_packets(uint8_t from, uint64_t now)
{
    static unsigned char bytes[PACKET_MAX];
    for (int i = 0; i < AT_ONCE; i++) {
        ssize_t length = read(devices[from], bytes, sizeof bytes);
        if (length <= 0)
            return;
        forward(from, bytes, (size_t)length, now);
    }
}

/* --- orders ------------------------------------------------------------------------------- */

static void obey(char *line)
{
    unsigned a, b, held;
    struct way way = {0};
    unsigned long long seed;
    if (sscanf(line, "way %u %u %u %u %u %u %u %u", &a, &b, &held, &way.delay_us, &way.jitter_us, &way.loss,
               &way.reorder, &way.doubles) == 8 && a < IDS && b < IDS) {
        way.is_held = held;
        ways[a][b] = way;
    } else if (sscanf(line, "reset %u %u", &a, &b) == 2 && a < IDS && b < IDS) {
        reset_between((uint8_t)a, (uint8_t)b);
    } else if (sscanf(line, "seed %llu", &seed) == 1) {
        random_state = seed | 1;
    } else if (strcmp(line, "done") == 0) {
        printf("done %llu %llu %llu\n", (unsigned long long)dropped, (unsigned long long)overtaken,
               (unsigned long long)doubled);
        fflush(stdout);
    } else {
        fprintf(stderr, "switch: what is %s?\n", line);
        exit(1);
    }
}

static void take_orders(void)
{
    static char text[65536];
    static size_t held;
    ssize_t got = read(0, text + held, sizeof text - held);
    if (got <= 0)
        exit(0);
    held += (size_t)got;
    char *line = text;
    for (char *end; (end = memchr(line, '\n', held - (size_t)(line - text))); line = end + 1) {
        *end = 0;
        obey(line);
    }
    held -= (size_t)(line - text);
    memmove(text, line, held);
}

static void serve(struct pollfd *polled, nfds_t count, const uint8_t *ids)
{
    for (;;) {
        uint64_t now = now_ns();
        deliver_due(now);
        uint64_t wait = heap_count ? heap[0]->due - now : 0;
        struct timespec time = {(time_t)(wait / 1000000000), (long)(wait % 1000000000)};
        if (ppoll(polled, count, heap_count ? &time : NULL, NULL) < 0 && errno != EINTR)
            exit(1);
        now = now_ns();
        for (nfds_t i = 1; i < count; i++)
            if (polled[i].revents)
                take_packets(ids[i], now);
        if (polled[0].revents)
            take_orders();
    }
}

int main(int argc, char **argv)
{
    struct pollfd polled[IDS] = {{.fd = 0, .events = POLLIN}};
    uint8_t ids[IDS];
    nfds_t count = 1;
    memset(devices, -1, sizeof devices);
    for (int i = 1; i < argc && count < IDS; i++) {
        unsigned id;
        int fd;
        if (sscanf(argv[i], "%u:%d", &id, &fd) != 2 || id >= IDS || fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
            return 2;
        devices[id] = fd;
        ids[count] = (uint8_t)id;
        polled[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
    serve(polled, count, ids);
}

"""Random commands on hashes and sets.  SPOP takes all or nothing: what it takes
otherwise is each server's own choice, and later replies would follow from it."""

HASHES = [b"hash:1", b"hash:2", b"hash:3"]
SETS = [b"set:1", b"set:2", b"set:3", b"set:4"]
COUNTS = [b"0", b"1", b"-1", b"2", b"-5", b"100", b"x", b"9223372036854775808", b"-9223372036854775808"]


def name(g, names):
    return g.pick(names) if g.chance(0.95) else g.key()


def field(g):
    if g.chance(0.7):
        return b"field%d" % g.random.randrange(20)
    return g.value()


def member(g):
    if g.chance(0.4):
        return b"%d" % g.random.randrange(-5, 30)
    if g.chance(0.5):
        return b"member%d" % g.random.randrange(25)
    return g.value()


def hash_command(g):
    key, dice = name(g, HASHES), g.random.randrange(20)
    if dice <= 4:
        words = [g.pick([b"HSET", b"HSET", b"HMSET"]), key]
        for _ in range(g.random.randint(1, 6)):
            words += [field(g), g.value()]
        return words
    if dice == 5:
        return [b"HSETNX", key, field(g), g.value()]
    if dice == 6:
        return [b"HSET", key] + [b"%d" % g.random.randrange(700) for _ in range(2 * g.random.randrange(1, 300))]
    if dice <= 8:
        return [g.pick([b"HGET", b"HEXISTS", b"HSTRLEN"]), key, field(g)]
    if dice == 9:
        return [b"HMGET", key] + [field(g) for _ in range(g.random.randint(1, 5))]
    if dice <= 11:
        return [b"HDEL", key] + [field(g) for _ in range(g.random.randint(1, 8))]
    if dice == 12:
        return [b"HINCRBY", key, field(g), g.integer()]
    if dice == 13:
        return [b"HINCRBYFLOAT", key, field(g), g.float()]
    if dice == 14:
        words = [b"HRANDFIELD", key]
        if g.chance(0.8):
            words.append(g.pick(COUNTS))
            if g.chance(0.5):
                words.append(g.case(g.pick([b"WITHVALUES", b"WITHVALUES", b"NOPE"])))
        return words
    if dice == 15:
        words = [b"HSCAN", key, b"0", b"COUNT", b"100000"]
        return words + ([b"MATCH", g.pick([b"*", b"field1*", b"?", b"[0-5]*"])] if g.chance(0.5) else [])
    if dice == 16:
        return g.pick([[b"HSCAN", key, b"x"], [b"HSCAN", key, b"0", b"COUNT", b"0"], [b"HSCAN", key, b"0", b"NOPE"],
                       [b"OBJECT", b"ENCODING", key], [b"TYPE", key], [b"DEL", key]])
    if dice == 17:
        return [b"OBJECT", b"ENCODING", key]
    return [g.pick([b"HLEN", b"HKEYS", b"HVALS", b"HGETALL"]), key]


def set_command(g):
    key, dice = name(g, SETS), g.random.randrange(20)
    several = [name(g, SETS) for _ in range(g.random.randint(1, 4))]
    if dice <= 4:
        return [b"SADD", key] + [member(g) for _ in range(g.random.randint(1, 6))]
    if dice == 5:
        return [b"SADD", key] + [b"%d" % g.random.randrange(700) for _ in range(g.random.randrange(1, 300))]
    if dice <= 7:
        return [b"SREM", key] + [member(g) for _ in range(g.random.randint(1, 8))]
    if dice == 8:
        return [b"SMOVE", key, name(g, SETS), member(g)]
    if dice == 9:
        return [g.pick([b"SISMEMBER", b"SMISMEMBER"]), key, member(g)]
    if dice == 10:
        return [b"SPOP", key, g.pick([b"100000", b"0", b"-1", b"x", b"9223372036854775807"])]
    if dice == 11:
        return [b"SRANDMEMBER", key] + ([g.pick(COUNTS)] if g.chance(0.8) else [])
    if dice <= 13:
        return [g.pick([b"SINTER", b"SUNION", b"SDIFF"])] + several
    if dice <= 15:
        return [g.pick([b"SINTERSTORE", b"SUNIONSTORE", b"SDIFFSTORE", b"SDIFFSTORE"]), key] + several
    if dice == 16:
        words = [b"SINTERCARD", b"%d" % len(several)] + several
        return words + ([g.case(b"LIMIT"), g.pick([b"0", b"1", b"5", b"-1", b"x"])] if g.chance(0.5) else [])
    if dice == 17:
        words = [b"SSCAN", key, b"0", b"COUNT", b"100000"]
        return words + ([b"MATCH", g.pick([b"*", b"member1*", b"?", b"[0-5]*"])] if g.chance(0.5) else [])
    if dice == 18:
        return [b"OBJECT", b"ENCODING", key]
    return [g.pick([b"SCARD", b"SMEMBERS", b"TYPE"]), key]


FAMILIES = [(25, hash_command), (25, set_command)]

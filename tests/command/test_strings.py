"""Strings: every option, boundary and error text, compared with the oracle."""


def test_set_and_get(pair):
    pair.script(r"""
        SET k v
        GET k
        get k
        GeT k
        GET missing
        SET k ""
        GET k
        STRLEN k
        SET "" empty-key
        GET ""
        SET "\x00\xff\r\n" "bin\x00ary\xff"
        GET "\x00\xff\r\n"
        SET k 1
        SET k 1 NX
        SET k 2 XX
        SET new 1 XX
        SET new 1 NX
        SET k 3 GET
        SET none 3 GET
        SET k 4 NX GET
        SET none2 4 NX GET
        SET none3 4 XX GET
        SET k 5 XX GET
        SET k 6 nx xx
        SET k 6 NX XX
        SET k 6 EX 100
        TTL k
        SET k 7 KEEPTTL
        TTL k
        SET k 8
        TTL k
        SET k 9 PX 100000
        PTTL k
        SET k 9 EXAT 4102444800
        EXPIRETIME k
        SET k 9 PXAT 4102444800123
        PEXPIRETIME k
        SET k 9 EX 100 PX 100
        SET k 9 EX 100 KEEPTTL
        SET k 9 KEEPTTL EX 100
        SET k 9 KEEPTTL KEEPTTL
        SET k 9 GET GET
        SET k 9 EX
        SET k 9 PX
        SET k 9 EX 0
        SET k 9 EX -1
        SET k 9 PX 0
        SET k 9 PXAT -5
        SET k 9 EX abc
        SET k 9 EX 1.5
        SET k 9 EX 9223372036854775807
        SET k 9 EX 9223372036854775
        SET k 9 PX 9223372036854775807
        SET k 9 EXAT 9223372036854775807
        SET k 9 PERSIST
        SET k 9 BOGUS
        SET k
        SET
        SET k 9 NX EX 10 GET XX
        GET
        GET a b
        SET past 1 EXAT 1
        GET past
        SET past 1 PXAT 1 GET
        GET past
    """)


def test_getex_getdel_getset(pair):
    pair.script(r"""
        SET k v EX 1000
        GETEX k
        TTL k
        GETEX k PERSIST
        TTL k
        GETEX k EX 500
        TTL k
        GETEX k PX 700000
        PTTL k
        GETEX k EXAT 4102444800
        EXPIRETIME k
        GETEX k PXAT 4102444800001
        PEXPIRETIME k
        GETEX k EX 10 PERSIST
        GETEX k PERSIST EX 10
        GETEX k EX
        GETEX k EX 0
        GETEX k PX -1
        GETEX k NX
        GETEX k KEEPTTL
        GETEX k persist
        GETEX missing
        GETEX missing EX 0
        GETEX missing EX 10
        GETEX k PXAT 1
        EXISTS k
        GETEX
        SET k v
        GETDEL k
        GETDEL k
        GETDEL
        GETDEL a b
        GETSET k 1
        GETSET k 2
        SET k v EX 1000
        GETSET k 3
        TTL k
        GETSET k
    """)


def test_setnx_setex_psetex(pair):
    pair.script(r"""
        SETNX k 1
        SETNX k 2
        GET k
        SETEX k 100 v
        TTL k
        SETEX k 0 v
        SETEX k -1 v
        SETEX k abc v
        SETEX k 9223372036854775807 v
        SETEX k 9223372036854776 v
        PSETEX k 100000 v
        PTTL k
        PSETEX k 0 v
        PSETEX k -9 v
        PSETEX k x v
        PSETEX k 9223372036854775807 v
        SETEX k 10
        PSETEX k 10
        SETNX k
        SETNX
        GET k
    """)


def test_many_keys(pair):
    pair.script(r"""
        MSET a 1 b 2 c 3
        MGET a b c d a
        MGET
        MSET a
        MSET a 1 b
        MSETNX x 1 y 2
        MSETNX y 3 z 4
        MGET x y z
        MSETNX a
        MSETNX q 1 w
        MSET a 1 a 2
        GET a
        MSETNX n 1 n 2
        GET n
        MSET a "" "" a
        MGET a ""
        SET a 1 EX 100
        MSET a 2
        TTL a
    """)


def test_append_strlen_ranges(pair):
    pair.script(r"""
        APPEND k hello
        APPEND k " world"
        GET k
        STRLEN k
        STRLEN missing
        APPEND k ""
        APPEND new ""
        EXISTS new
        SET n 10
        APPEND n 5
        GET n
        OBJECT ENCODING n
        INCR n
        GETRANGE k 0 4
        GETRANGE k -5 -1
        GETRANGE k 0 -1
        GETRANGE k 5 3
        GETRANGE k -3 -5
        GETRANGE k 100 200
        GETRANGE k -100 3
        GETRANGE k -100 -200
        GETRANGE k 0 9223372036854775807
        GETRANGE k -9223372036854775808 -1
        GETRANGE k a 1
        GETRANGE k 0 b
        GETRANGE missing 0 -1
        GETRANGE k 0
        SUBSTR k 0 4
        SUBSTR k -3 -1
        SUBSTR k
        SET i 12345
        GETRANGE i 1 3
        SETRANGE k 6 Redis
        GET k
        SETRANGE k 20 x
        GET k
        SETRANGE fresh 3 abc
        GET fresh
        SETRANGE fresh2 3 ""
        EXISTS fresh2
        SETRANGE k 0 ""
        SETRANGE k -1 x
        SETRANGE k abc x
        SETRANGE k 536870911 xx
        SETRANGE k 536870912 x
        SETRANGE k 9223372036854775807 x
        SETRANGE missing 536870912 ""
        SETRANGE i 0 9
        GET i
        OBJECT ENCODING i
        SETRANGE k 0
        APPEND k
        STRLEN
        STRLEN i
        SET e v EX 1000
        APPEND e w
        SETRANGE e 0 z
        TTL e
    """)


def test_counters(pair):
    pair.script(r"""
        INCR n
        INCR n
        DECR n
        INCRBY n 10
        DECRBY n 3
        GET n
        INCRBY n -100
        DECRBY n -100
        SET n 9223372036854775806
        INCR n
        INCR n
        INCRBY n 1
        GET n
        SET n -9223372036854775808
        DECR n
        DECRBY n 1
        DECRBY n -9223372036854775808
        INCRBY n -9223372036854775808
        INCRBY n 9223372036854775807
        INCRBY n 9223372036854775808
        INCRBY n abc
        INCRBY n ""
        INCRBY n 1.5
        INCRBY n " 1"
        INCRBY n +1
        INCRBY n 01
        INCRBY n -0
        SET s abc
        INCR s
        SET s " 1"
        INCR s
        SET s "1 "
        INCR s
        SET s 01
        INCR s
        SET s -0
        INCR s
        SET s ""
        INCR s
        SET s 9223372036854775808
        INCR s
        SET s 1.0
        INCR s
        SET t 5 EX 1000
        INCR t
        TTL t
        INCR
        INCRBY n
        DECRBY n
        INCR n 1
        DECRBY n 9223372036854775808
        DECRBY m -9223372036854775808
    """)


def test_floats(pair):
    pair.script(r"""
        INCRBYFLOAT f 10.50
        INCRBYFLOAT f 0.1
        GET f
        INCRBYFLOAT f -5
        INCRBYFLOAT f 5.0e3
        INCRBYFLOAT f 0
        INCRBYFLOAT f abc
        INCRBYFLOAT f ""
        INCRBYFLOAT f inf
        INCRBYFLOAT f -inf
        INCRBYFLOAT f nan
        INCRBYFLOAT f " 1"
        INCRBYFLOAT f "1 "
        INCRBYFLOAT f 1e400
        INCRBYFLOAT f 1e-400
        INCRBYFLOAT f 0x10
        GET f
        SET f 3.0e3
        INCRBYFLOAT f 200
        SET f 1e308
        INCRBYFLOAT f 1e308
        SET f 0.1
        INCRBYFLOAT f 0.2
        SET f 1
        INCRBYFLOAT f 0.000000000000000001
        SET f 1
        INCRBYFLOAT f 0.00000000000000001
        SET f 10
        INCRBYFLOAT f 1.23456789012345678901
        SET f 9007199254740993
        INCRBYFLOAT f 1
        SET f 18446744073709551616
        INCRBYFLOAT f 1
        SET f -0.5
        INCRBYFLOAT f 0.5
        SET f abc
        INCRBYFLOAT f 1
        SET f ""
        INCRBYFLOAT f 1
        SET f inf
        INCRBYFLOAT f 1
        SET f 5 EX 1000
        INCRBYFLOAT f 1.5
        TTL f
        SET f 3.5
        INCRBYFLOAT f 0.5
        OBJECT ENCODING f
        INCR f
        INCRBYFLOAT f
        INCRBYFLOAT
    """)


def test_lcs(pair):
    pair.script(r"""
        MSET key1 ohmytext key2 mynewtext
        LCS key1 key2
        LCS key1 key2 LEN
        LCS key1 key2 IDX
        LCS key1 key2 IDX MINMATCHLEN 4
        LCS key1 key2 IDX MINMATCHLEN 4 WITHMATCHLEN
        LCS key1 key2 IDX WITHMATCHLEN
        LCS key1 key2 IDX MINMATCHLEN -5
        LCS key1 key2 MINMATCHLEN 4
        LCS key1 key2 WITHMATCHLEN
        LCS key1 key2 LEN IDX
        LCS key1 key2 BOGUS
        LCS key1 key2 MINMATCHLEN
        LCS key1 key2 IDX MINMATCHLEN x
        LCS key1 missing
        LCS key1 missing LEN
        LCS key1 missing IDX
        LCS missing missing2
        LCS key1 key1
        LCS key1 key1 IDX
        LCS key1
        MSET a "" b ""
        LCS a b
        LCS a b IDX
        MSET x 12345 y 13579
        LCS x y
        LCS x y IDX WITHMATCHLEN
        MSET p "a\x00b\xffc" q "\x00b\xff"
        LCS p q
    """)


def test_encodings(pair):
    pair.script(r"""
        SET k 1
        OBJECT ENCODING k
        SET k 9223372036854775807
        OBJECT ENCODING k
        SET k 9223372036854775808
        OBJECT ENCODING k
        SET k -1
        OBJECT ENCODING k
        SET k -0
        OBJECT ENCODING k
        SET k 01
        OBJECT ENCODING k
        SET k ""
        OBJECT ENCODING k
        SET k aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        OBJECT ENCODING k
        SET k aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        OBJECT ENCODING k
        APPEND k b
        OBJECT ENCODING k
        SET k abc
        APPEND k d
        OBJECT ENCODING k
        SET k 5
        INCR k
        OBJECT ENCODING k
        INCRBYFLOAT k 1
        OBJECT ENCODING k
        SETRANGE k 0 7
        OBJECT ENCODING k
        GETSET k 12
        OBJECT ENCODING k
        SETBIT k 0 0
        OBJECT ENCODING k
        MSET m 5
        OBJECT ENCODING m
        SETEX m 1000 17
        OBJECT ENCODING m
        SETNX q 10001
        OBJECT ENCODING q
        COPY q r
        OBJECT ENCODING r
    """)


def test_large_values(pair):
    big = bytes(range(256)) * 4096
    pair.check("SET", "big", big)
    pair.check("GET", "big")
    pair.check("STRLEN", "big")
    pair.check("GETRANGE", "big", 1000000, 1000100)
    pair.check("APPEND", "big", big)
    pair.check("GET", "big")
    pair.check("MSET", *[word for i in range(2000) for word in ("k%d" % i, "v%d" % i)])
    pair.check("MGET", *["k%d" % i for i in range(2500)])
    pair.check("DEL", *["k%d" % i for i in range(2500)])


def test_expiry_happens(pair):
    pair.script(r"""
        SET k v PX 40
        ! gone k
        GET k
        SET k v
        PEXPIRE k 30
        ! gone k
        TTL k
        SETEX k 1 v
        ! gone k
        GETSET k w
        TTL k
        PSETEX k 25 v
        ! gone k
        INCR k
        TTL k
        SET a 1 PX 20
        SET b 2
        ! gone a
        MGET a b
        DBSIZE
        RENAME a c
        COPY a c
        KEYS *
    """)

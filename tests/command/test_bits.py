"""Bits, compared with the oracle."""


def test_single_bits(pair):
    pair.script(r"""
        SETBIT k 7 1
        GETBIT k 7
        GETBIT k 0
        GETBIT k 100
        GETBIT missing 0
        GET k
        SETBIT k 7 0
        GET k
        SETBIT k 7 2
        SETBIT k 7 x
        SETBIT k -1 1
        SETBIT k 4294967296 1
        SETBIT k x 1
        SETBIT k 100 1
        STRLEN k
        GETBIT k -1
        GETBIT k 4294967296
        GETBIT k 4294967295
        GETBIT k x
        SET i 12345
        GETBIT i 3
        SETBIT i 3 0
        GET i
        SET e v EX 1000
        SETBIT e 1 1
        TTL e
        SETBIT k 1
        GETBIT k
        SETBIT zero 0 0
        STRLEN zero
    """)


def test_bitcount(pair):
    pair.script(r"""
        SET k foobar
        BITCOUNT k
        BITCOUNT k 0 0
        BITCOUNT k 1 1
        BITCOUNT k 1 1 BYTE
        BITCOUNT k 5 30 BIT
        BITCOUNT k 5 30 bit
        BITCOUNT k -3 -1
        BITCOUNT k -10 -1 BIT
        BITCOUNT k 5 2
        BITCOUNT k -1 -5
        BITCOUNT k 0 -100
        BITCOUNT k 100 200
        BITCOUNT k 0
        BITCOUNT k 0 x
        BITCOUNT k x 0
        BITCOUNT k 0 1 BOGUS
        BITCOUNT k 0 1 BIT x
        BITCOUNT missing
        BITCOUNT missing 0 x
        BITCOUNT missing 0
        BITCOUNT
        SET i 7777777
        BITCOUNT i
        BITCOUNT k -9223372036854775808 9223372036854775807
        BITCOUNT k 0 9223372036854775807 BIT
        BITCOUNT k 0 47 BIT
        BITCOUNT k 7 9 BIT
    """)


def test_bitpos(pair):
    pair.script(r"""
        SET k "\xff\xf0\x00"
        BITPOS k 0
        BITPOS k 1
        SET k "\x00\xff\xf0"
        BITPOS k 1 0
        BITPOS k 1 2
        BITPOS k 1 2 -1 BYTE
        BITPOS k 1 7 15 BIT
        BITPOS k 1 7 -3 BIT
        BITPOS k 0 8 19 BIT
        BITPOS k 0 8 -5 BIT
        SET k "\x00\x00\x00"
        BITPOS k 1
        BITPOS k 1 0 -1
        SET k "\xff\xff\xff"
        BITPOS k 0
        BITPOS k 0 0
        BITPOS k 0 0 -1
        BITPOS k 0 0 -1 BIT
        BITPOS k 0 10
        BITPOS k 1 5
        BITPOS k 1 -1
        BITPOS k 1 3 1
        BITPOS k 2
        BITPOS k x
        BITPOS k 1 x
        BITPOS k 1 0 x
        BITPOS k 1 0 1 BOGUS
        BITPOS k 1 0 1 BIT 4
        BITPOS missing 0
        BITPOS missing 1
        BITPOS missing 0 5 10
        BITPOS k
        SET e ""
        BITPOS e 0
        BITPOS e 1
        BITPOS e 0 0 -1
    """)


def test_bitop(pair):
    pair.script(r"""
        MSET a foobar b abcdef c ab
        BITOP AND d a b
        GET d
        BITOP OR d a b
        GET d
        BITOP XOR d a b c
        GET d
        BITOP NOT d a
        GET d
        BITOP not d d
        GET d
        BITOP AND d a c
        GET d
        BITOP AND d a missing
        GET d
        BITOP OR d missing missing2
        EXISTS d
        BITOP NOT d a b
        BITOP NAND d a b
        BITOP AND d
        BITOP AND
        SET e v EX 1000
        BITOP OR e a b
        TTL e
        SET n 12345
        BITOP OR d n a
        GET d
        BITOP XOR a a a
        GET a
        STRLEN a
        MSET l1 0123456789012345678901234567890123456789 l2 abcdefghijklmnopqrstuvwxyzabcdefghijklmnopq
        BITOP AND l l1 l2 l1
        GET l
        BITOP XOR l l1 l2 l2 l1 l2
        GET l
        BITOP NOT l l1
        GET l
    """)


def test_bitfield(pair):
    pair.script(r"""
        BITFIELD k INCRBY i5 100 1 GET u4 0
        BITFIELD k SET u8 #0 255 GET u8 #0 GET i8 0
        BITFIELD k INCRBY u2 100 1 OVERFLOW SAT INCRBY u2 102 1
        BITFIELD k INCRBY u2 100 1 OVERFLOW SAT INCRBY u2 102 1
        BITFIELD k INCRBY u2 100 1 OVERFLOW SAT INCRBY u2 102 1
        BITFIELD k OVERFLOW FAIL INCRBY u2 102 1
        BITFIELD k OVERFLOW FAIL INCRBY u8 0 1 GET u8 0
        BITFIELD k OVERFLOW WRAP INCRBY u8 0 1
        BITFIELD k OVERFLOW SAT INCRBY i8 0 -200 INCRBY i8 0 -200
        BITFIELD k SET i64 0 -9223372036854775808 GET i64 0
        BITFIELD k OVERFLOW SAT INCRBY i64 0 -1
        BITFIELD k OVERFLOW FAIL INCRBY i64 0 -1
        BITFIELD k OVERFLOW WRAP INCRBY i64 0 -1
        BITFIELD k SET u63 0 9223372036854775807 GET u63 0
        BITFIELD k INCRBY u63 0 1
        BITFIELD k GET u64 0
        BITFIELD k GET i65 0
        BITFIELD k GET u0 0
        BITFIELD k GET x8 0
        BITFIELD k GET u 0
        BITFIELD k GET u8
        BITFIELD k GET u8 -1
        BITFIELD k GET u8 #-1
        BITFIELD k GET u8 abc
        BITFIELD k SET u8 0 abc
        BITFIELD k SET u8 0
        BITFIELD k OVERFLOW BOGUS
        BITFIELD k BOGUS u8 0
        BITFIELD k SET u8 0 256
        BITFIELD k SET i8 0 128
        BITFIELD k SET i8 0 -129
        BITFIELD k OVERFLOW FAIL SET u8 0 256
        BITFIELD k OVERFLOW SAT SET u8 0 256
        BITFIELD k
        BITFIELD missing GET u8 0
        EXISTS missing
        BITFIELD missing SET u8 0 0
        STRLEN missing
        BITFIELD k GET u8 4294967295
        BITFIELD k GET u8 4294967288
        BITFIELD k SET u8 4294967296 1
        BITFIELD k GET u8 #536870911
        BITFIELD k GET u8 #536870912
        BITFIELD_RO k GET u8 0 GET i4 #3
        BITFIELD_RO k SET u8 0 1
        BITFIELD_RO k INCRBY u8 0 1
        BITFIELD_RO k OVERFLOW SAT GET u8 0
        BITFIELD_RO k
        BITFIELD_RO missing GET u8 0
        BITFIELD
        SET e v EX 1000
        BITFIELD e SET u8 0 65
        TTL e
        GET e
        SET i 12345
        BITFIELD i GET u8 0 SET u8 8 57
        GET i
    """)

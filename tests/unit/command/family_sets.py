"""Sets."""
from replies import is_same_scan, is_same_shape, is_same_unordered, parse

INTEGERS = " ".join(map(str, range(512)))
TWELVE = " ".join(map(str, range(12)))

SCRIPT = """
FLUSHALL|SET s x|SADD a 1 2 3|SADD a 1|SADD s 1|SADD a x|SREM a 1 2 3 x y|EXISTS a|SREM none a|SREM s a|SADD a|SADD
SADD a 1 2 x|SMOVE a none q|SMOVE a b 1|SMOVE a b 1|SMOVE a a 2|SMOVE a a zz|SMOVE none s 2|SMOVE a s 2|SMOVE s a 2|SMOVE none none 1
SMOVE a b 2|SMOVE a b x|SMOVE a b x|SMOVE b b 1|SMOVE s s 1|SMOVE a none 1|SISMEMBER none 1|SISMEMBER s 1|SISMEMBER b 1|SISMEMBER b 01
SMISMEMBER none 1 2|SMISMEMBER s 1|SMISMEMBER b 1 01 x|SCARD none|SCARD s|SCARD b|SADD e "" ""|SISMEMBER e ""|SREM e ""
SPOP none|SPOP none 1|SPOP none -1|SPOP none x|SPOP s|SPOP s 1|SPOP s x|SPOP s 0|SPOP none 0|SPOP b 0|SPOP b 1 2|SPOP b -1|SPOP b 100|SPOP b
SADD b z|SPOP b|SADD b z|SPOP b 1|SPOP b 9223372036854775808|SADD b z|SPOP b 9223372036854775807|EXISTS b
SADD a 1|SRANDMEMBER none|SRANDMEMBER none 1|SRANDMEMBER none x|SRANDMEMBER s|SRANDMEMBER s 1|SRANDMEMBER a|SRANDMEMBER a 0|SRANDMEMBER a -2
SRANDMEMBER a 2|SRANDMEMBER a 1 2|SRANDMEMBER a -9223372036854775808|SRANDMEMBER none -9223372036854775807|SRANDMEMBER none -9223372036854775808
SRANDMEMBER s 0|SRANDMEMBER a 9223372036854775807|SRANDMEMBER a 9223372036854775808
SINTER none a|SINTER a none s|SINTER s a|SINTER a a|SINTER|SINTERCARD 0 a|SINTERCARD x a|SINTERCARD 3 a b|SINTERCARD 1 a LIMIT|SINTERCARD -1 a
SINTERCARD 1 a LIMIT -1|SINTERCARD 1 a LIMIT x|SINTERCARD 1 a foo|SINTERCARD 1 a LIMIT 1 LIMIT 2|SINTERCARD 1 a LIMIT 0|SINTERCARD 1 a b
SINTERCARD 1 none|SINTERCARD 2 a s|SINTERCARD 2 none s|SINTERCARD 1 none foo|SINTERCARD 2 a a LIMIT 1|SINTERCARD 99999999999 a|SINTERCARD 1 a limit 5
SINTERSTORE d a none|SINTERSTORE d a|SINTERSTORE d a none|SINTERSTORE d none s|SINTERSTORE s a|TYPE s|SINTERSTORE a a none|SADD a 1|SET s x
SUNIONSTORE d a|SUNIONSTORE d none|EXISTS d|SUNIONSTORE s none|EXISTS s|SET s x|SUNIONSTORE d a s|SUNION a s|SUNION none|SUNION a a|SUNION a none
SDIFF none s|SDIFF a s|SDIFF s a|SDIFF a a|SDIFF a none|SDIFF none none|SDIFFSTORE d a a|SDIFFSTORE d a|SDIFFSTORE d a d|SDIFF a a s|SDIFF none a
SDIFFSTORE s none|SDIFFSTORE s a|DEL s|SET s x|SMEMBERS none|SMEMBERS a|SMEMBERS s|SSCAN none x|SSCAN none 0 foo|SSCAN a 0|SSCAN a 5|SSCAN s 0
SSCAN a 0 TYPE x|SSCAN a 7 MATCH q COUNT 1|SSCAN a 0 COUNT 0|SSCAN a 0 MATCH|SADD a x|SSCAN a 0 COUNT 100|SSCAN a 0 COUNT 100 MATCH x|SADD a ""|SSCAN a 0 COUNT 100 MATCH ?
EXPIRE a 10000|SADD a 5|TTL a|SUNIONSTORE a a|TTL a|EXPIRE a 0|SADD a 1|SMEMBERS a|EXPIRE a -1|SMOVE a b 1|SET c x|SUNIONSTORE c a|GET a
DEL i|SADD i INTEGERS|OBJECT ENCODING i|SADD i 511|OBJECT ENCODING i|SADD i 512|OBJECT ENCODING i|SREM i 512 511|OBJECT ENCODING i|SMEMBERS i
SINTERSTORE j i i|OBJECT ENCODING j|SUNIONSTORE j i|OBJECT ENCODING j|SADD k 512 513|SUNIONSTORE j i k|OBJECT ENCODING j|SDIFFSTORE j j k|OBJECT ENCODING j
DEL i|SADD i 1 2|OBJECT ENCODING i|SADD i 01|OBJECT ENCODING i|SREM i 01|OBJECT ENCODING i|SUNIONSTORE i i|OBJECT ENCODING i|SADD i -0|OBJECT ENCODING i
DEL i|SADD i x TWELVE|SPOP i 8|OBJECT ENCODING i|DEL i|SADD i x TWELVE|SREM i x|OBJECT ENCODING i|SPOP i 10|OBJECT ENCODING i|DEL i|SADD i x TWELVE|SREM i x|SPOP i 9|OBJECT ENCODING i
DEL i j k|SADD i x y z 1 2 3 4 5 6|SADD j x y z|SDIFFSTORE k i j|OBJECT ENCODING k|SADD j 7 8 9 10 11 12 13 14 15|SDIFFSTORE k i j|OBJECT ENCODING k
SADD j2 x|SADD j3 y z|SDIFFSTORE k i j2 j3 none|OBJECT ENCODING k|SDIFFSTORE k i none j|OBJECT ENCODING k|SDIFF i j j2 j3|SDIFF j i|SDIFFSTORE k j2 i
SADD w 9223372036854775807 -9223372036854775808 9223372036854775808|SMEMBERS w|OBJECT ENCODING w|SADD w2 -32768 32767 32768 -2147483649|SMEMBERS w2|SREM w2 -2147483649|SMEMBERS w2
COPY w v|SADD v 1|SCARD w|SCARD v|RENAME v u|SCARD u|MOVE u 1|SCARD u|TYPE w|OBJECT ENCODING w2|SADD big %100|OBJECT ENCODING big|SMEMBERS big
""".replace("INTEGERS", INTEGERS).replace("TWELVE", TWELVE)

PATTERNS = """
SADD %set %member|SADD %set %member %member %member|SADD %set %many|SADD %set %number %number|SREM %set %member|SREM %set %member %member %member
SMOVE %set %set %member|SISMEMBER %set %member|SMISMEMBER %set %member %member|SCARD %set|SMEMBERS %set
SPOP %set|SPOP %set|SPOP %set %few|SPOP %set 100000|SRANDMEMBER %set|SRANDMEMBER %set %count|SINTER %set|SINTER %set %set|SINTER %set %set %set
SINTERCARD 2 %set %set|SINTERCARD 2 %set %set LIMIT %few|SINTERCARD 1 %set|SINTERSTORE %set %set %set|SUNION %set %set|SUNION %set %set %set
SUNIONSTORE %set %set %set|SDIFF %set %set|SDIFF %set %set %set|SDIFFSTORE %set %set %set|SDIFFSTORE %set %set|SDIFFSTORE %set %set %set %set
SSCAN %set 0 COUNT 1000|SSCAN %set 0 COUNT 1000 MATCH %member|OBJECT ENCODING %set|DEL %set|COPY %set %set REPLACE|TYPE %set|EXPIRE %set M|SET %set V
OBJECT ENCODING %set|SDIFFSTORE %set %set %set
"""

NUMBERS = ["0", "1", "2", "3", "4", "5", "6", "7", "100", "-1", "32767", "32768", "-32769", "2147483648", "9223372036854775807",
           "-9223372036854775808"]
WORDS = {
    "%set": ["s1", "s1", "s2", "s2", "s3", "b"],
    "%number": NUMBERS,
    "%member": NUMBERS + ["", "x", "y", "z", "01", "-0", "9223372036854775808", "m" * 64, "m" * 65, "\x00\xff"],
    "%many": ["many%d" % i for i in range(200)],
    "%few": ["0", "1", "2", "3", "4", "x"],
}


def after_spop(pair, db, arguments, theirs, ours):
    """Theirs gets back what it lost, and loses what ours lost."""
    if theirs[:1] in b"-_" or theirs[:3] == b"$-1":
        return
    taken = [parse(reply) for reply in (theirs, ours)]
    lists = [reply[1:] if isinstance(reply, list) else [reply] for reply in taken]
    back, gone = [[word[:-2] for word in words] for words in lists]
    if sorted(back) == sorted(gone):
        return
    for name, words in (("SADD", back), ("SREM", gone)):
        pair.oracle.call(db, 2, [name, arguments[1]] + words)


RULES = {
    "SMEMBERS": is_same_unordered,
    "SINTER": is_same_unordered,
    "SUNION": is_same_unordered,
    "SDIFF": is_same_unordered,
    "SPOP": is_same_shape,
    "SRANDMEMBER": is_same_shape,
    "SSCAN": is_same_scan,
}
AFTER = {"SPOP": after_spop}

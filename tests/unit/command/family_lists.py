"""Lists."""

SCRIPT = """
FLUSHALL|LPUSH l a b c|LPUSHX none a|LPUSHX l a b|RPUSH l 1 2|RPUSHX l %65|SET s x|LPUSH s x|RPUSHX s x|LPUSH l|OBJECT ENCODING l|TYPE l
LPOP s x|LPOP s -1|LPOP none x|LPOP none -1|LPOP none 0|LPOP none|LPOP none 1|LPOP l 0|LPOP l x|LPOP l -1|LPOP l 1 2|LPOP l 2|LPOP s|LPOP s 0
LPOP l 9223372036854775808|RPOP l|RPOP l 1|RPOP l 2 3|LPOP l 100|LPOP l|EXISTS l|RPUSH l x|RPOP l|EXISTS l|RPUSH l x y|RPOP l 2|RPOP l 2
RPUSH l a b c d e a a|LLEN l|LLEN none|LLEN s|LINDEX l x|LINDEX none x|LINDEX s x|LINDEX s 0|LINDEX l -1|LINDEX l 99|LINDEX l -8|LINDEX l -7
LSET l x y|LSET none x y|LSET s 0 y|LSET l 99 y|LSET l -8 y|LSET l 0 a|LSET l -1 007|LSET l 2 ""|LRANGE l 0 -1|LSET l 0 %9000|LRANGE l 0 -1|LSET l 0 a
LINSERT l x a b|LINSERT none x a b|LINSERT s before a b|LINSERT none before a b|LINSERT l BEFORE zz b|LINSERT l AFTER a new|LINSERT l before a 5|LINSERT l before 5 4
LINSERT l AFTER 4 %9000|LINSERT l BEFORE 4 %9000|LRANGE l 0 -1|LINSERT l AFTER "" x|LREM l 0 %9000|LREM l 1 zz|LREM l -2 5|LINSERT s x a b|LINSERT l after a
LRANGE l x 1|LRANGE none x 1|LRANGE s 0 1|LRANGE l 5 2|LRANGE l -100 100|LRANGE l -3 -2|LRANGE l 1 1|LRANGE none 0 1|LRANGE l 0 9223372036854775807
LRANGE l -9223372036854775808 9223372036854775807|LRANGE l 9223372036854775807 -9223372036854775808|LTRIM l -9223372036854775808 9223372036854775807
LREM l x a|LREM none x a|LREM s 0 a|LREM none 0 a|LREM l 0 zz|LREM l -1 a|LREM l 0 a|LREM l -9223372036854775808 new|RPUSH r a a a|LREM r 0 a|EXISTS r
LTRIM l x 1|LTRIM none x 1|LTRIM s 0 1|LTRIM none 0 1|LTRIM l 0 -1|LTRIM l 1 2|LTRIM l 5 2|EXISTS l|RPUSH l a b c|LTRIM l 1 1|LRANGE l 0 -1|LTRIM l -100 -50
DEL l|RPUSH l a b a b a|LPOS l a RANK 0|LPOS l a RANK x|LPOS l a RANK|LPOS l a FOO 1|LPOS l a COUNT -1|LPOS l a MAXLEN -1|LPOS l a COUNT x|LPOS none a COUNT x
LPOS none a|LPOS none a COUNT 0|LPOS s a|LPOS l zz|LPOS l zz COUNT 0|LPOS l a COUNT 0 RANK -1|LPOS l a COUNT 2 RANK 2|LPOS l a MAXLEN 2 RANK 2|LPOS l a MAXLEN 3 RANK 2
LPOS l a RANK 1 RANK -1|LPOS l a RANK -9223372036854775808|LPOS l a RANK -9223372036854775808 COUNT 1|LPOS l a RANK -9223372036854775807 COUNT 1|LPOS l a RANK -2 MAXLEN 3 COUNT 9
LPOS l a COUNT 1 RANK 0|LPOS l a RANK 9223372036854775807|LPOS l a MAXLEN x|LPOS s a RANK 0|LPOS l b COUNT 1 COUNT 0
LMOVE l l left right|LMOVE l l left left|LMOVE l l right left|LMOVE l m foo right|LMOVE l m left foo|LMOVE none m left left|LMOVE l s left left|LMOVE s l left left|LMOVE none s left left
LMOVE l m RIGHT LEFT|RPOPLPUSH l m|RPOPLPUSH none m|RPOPLPUSH m m|RPUSH one 1|LMOVE one two left left|LMOVE two two left left|RPOPLPUSH s m|RPOPLPUSH m s|RPUSH one %9000|LMOVE one m left right
LMPOP 0 l LEFT|LMPOP x l LEFT|LMPOP -1 l LEFT|LMPOP 2 l LEFT|LMPOP 1 l FOO|LMPOP 1 l|LMPOP 1 l LEFT COUNT|LMPOP 1 l LEFT COUNT 0|LMPOP 1 l LEFT COUNT x|LMPOP 1 l LEFT COUNT 1 COUNT 1
LMPOP 1 l LEFT COUNT 0 COUNT 1|LMPOP 1 l LEFT COUNT 1 x|LMPOP 1 l LEFT FOO 1|LMPOP 1 none LEFT|LMPOP 2 none l LEFT COUNT 2|LMPOP 2 s l LEFT COUNT 2|LMPOP 2 m s RIGHT COUNT 200
LMPOP 9223372036854775807 l LEFT|LMPOP 9223372036854775808 l LEFT|LMPOP 2147483648 l LEFT|LMPOP 3 none m l RIGHT|LMPOP 1 l LEFT COUNT 9223372036854775807|EXISTS l
RPUSH l a b c|BLPOP l x|BLPOP l -1|BLPOP l 9223372036854775807|BLPOP s l 0.01|BLPOP l s 0.01|BLPOP none none2 0.01|BLPOP none s 0.01|BLPOP none l 0|BRPOP none l 0|BLPOP l inf|BLPOP l 1e400
BLPOP l nan|RPUSH l z|BLPOP l -0.0001|BLPOP l 0.001|RPUSH l a b c d e|BLMOVE none m foo left x|BLMOVE none m left left x|BLMOVE none m left left 0.01|BLMOVE s m left left 0.01|BLMOVE l s left left 0.01
BLMOVE l m left right 0|BRPOPLPUSH none m 0.01|BRPOPLPUSH l m 0|BRPOPLPUSH l m x|BRPOPLPUSH l m -1|BRPOPLPUSH s m 0|BLMOVE none s left left 0.01|BRPOPLPUSH l l 1
BLMPOP x 1 none LEFT|BLMPOP 0.01 0 none LEFT|BLMPOP x 0 none LEFT|BLMPOP 0.01 1 none LEFT|BLMPOP 0.01 1 none FOO|BLMPOP 0.01 1 none LEFT COUNT 0|BLMPOP x 1 none LEFT COUNT 0|BLMPOP 0 2 s l LEFT
BLMPOP 0.01 2 none l LEFT COUNT 2|BLMPOP -1 2 none l LEFT COUNT 2|BLMPOP 0 1 l|BLMPOP 0 1 l LEFT COUNT 9|EXISTS l|LPUSH l x|EXPIRE l 10000|LPUSH l y|TTL l|LPOP l 2|LPUSH l x|TTL l
COPY l q|LRANGE q 0 -1|RENAME q p|LLEN p|SET p x|LPUSH p a|DEL p|GET l|INCR l|APPEND l x|SET l x GET|GETSET l x|EXPIRE l 0|RPUSH l %70000 a %70000|LLEN l|LRANGE l 0 -1|LINDEX l 1|LPOS l a
OBJECT ENCODING l|COPY l big|LREM l 1 %70000|LRANGE l 0 0|OBJECT ENCODING big|RPUSH big "" "" 0 -0 00 0x1 1e3 9223372036854775807 9223372036854775808 -9223372036854775808|LRANGE big 2 -1|LREM big 0 0|LPOS big 00
"""

# Long pushes make lists that leave their small form and fill more than one node.
LONG = " ".join(["%element"] * 60)
PATTERNS = """
RPUSH %list LONG|LPUSH %list LONG|RPUSH %list LONG
LPUSH %list %element|RPUSH %list %element %element %element|LPUSHX %list %element|RPUSHX %list %element %element
LPOP %list|RPOP %list|LPOP %list %count|RPOP %list %count|LLEN %list
LINDEX %list %index|LSET %list %index %element|LINSERT %list BEFORE %element %element|LINSERT %list AFTER %element %element
LRANGE %list %index %index|LRANGE %list 0 -1|LREM %list %small %element|LTRIM %list %index %index|LTRIM %list %small -1|LPOS %list %element
LPOS %list %element RANK %small|LPOS %list %element RANK %small COUNT %count|LPOS %list %element COUNT %count MAXLEN %count
LMOVE %list %list %side %side|RPOPLPUSH %list %list|LMPOP 2 %list %list %side|LMPOP 2 %list %list %side COUNT %count
BLPOP %list %list 0.001|BRPOP %list 0.001|BLMOVE %list %list %side %side 0.001|BRPOPLPUSH %list %list 0.001
BLMPOP 0.001 2 %list %list %side COUNT %count|OBJECT ENCODING %list|DEL %list|COPY %list %list REPLACE|RENAME %list %list|TYPE %list
EXPIRE %list M|SET %list V
""".replace("LONG", LONG)

WORDS = {
    "%list": ["l1", "l1", "l1", "l2", "l2", "l3", "a"],
    "%element": ["a", "b", "", "1", "-7", "12345678901", "007", "x" * 64, "\x00\xff", "x" * 300, "y" * 100, "z" * 900, "element-3", "4"],
    "%count": ["0", "1", "2", "3", "10", "100", "x", "-1"],
    "%index": ["0", "1", "-1", "2", "-2", "5", "-8", "30", "-30", "60", "x"],
    "%small": ["0", "1", "-1", "2", "-3", "x"],
    "%side": ["LEFT", "RIGHT", "LEFT", "RIGHT", "x"],
}

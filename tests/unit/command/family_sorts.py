"""SORT and SORT_RO."""
from replies import is_same_unordered

SCRIPT = """
FLUSHALL|SET str x|HSET h f 1|SORT|SORT none|SORT none STORE none|SORT str|SORT h|SORT_RO h|SORT none foo|SORT str foo|SORT none LIMIT 1|SORT none LIMIT x 1|SORT none LIMIT 1 x
SORT none BY|SORT none GET|SORT none STORE|SORT_RO none STORE x|SORT_RO|SORT_RO none|SORT str LIMIT 0 x foo|SORT none GET # GET
RPUSH l 3 1 2 10 -5 1 0.5|SORT l|SORT l DESC|SORT l ALPHA|SORT l ALPHA DESC|SORT l DESC ASC|SORT l LIMIT 0 3|SORT l LIMIT 2 -1|SORT l LIMIT -5 2|SORT l LIMIT 100 1
SORT l LIMIT 0 0|SORT l LIMIT 3 100|SORT l LIMIT 7 1|SORT l LIMIT 6 -10|SORT l LIMIT 9223372036854775807 9223372036854775807|SORT l LIMIT 1 9223372036854775807|SORT_RO l LIMIT 0 2
SORT l STORE d|LRANGE d 0 -1|OBJECT ENCODING d|SORT l LIMIT 0 0 STORE d|EXISTS d|SORT l STORE l|LRANGE l 0 -1|SORT l DESC STORE str|LRANGE str 0 -1|SORT none STORE str|EXISTS str
SORT l BY nosort|SORT l BY nosort DESC|SORT l BY nosort LIMIT 2 3|SORT l BY nosort LIMIT 100 3|SORT l BY nosort STORE d|LRANGE d 0 -1|SORT l BY nosort GET # LIMIT 1 2|SORT l BY nosort LIMIT 2 0
MSET w_1 30 w_2 20 w_3 10 w_10 5 o_1 one o_2 two o_3 three|HSET h_1 w 1 n uno|HSET h_2 w 0 n dos|HSET h_3 w 7|SORT l BY w_*|SORT l BY w_* DESC|SORT l BY w_* GET o_*|SORT l BY w_* GET # GET o_* GET h_*->n
SORT l BY h_*->w GET h_*->n|SORT l BY h_*->w DESC GET h_*-> GET h_*->w|SORT l BY w_*->x|SORT l BY *|SORT l GET *|SORT l GET nostar|SORT l GET "##"|SORT l BY w_* GET o_* STORE d|LRANGE d 0 -1
SORT l BY o_*|SORT l BY o_* ALPHA|SORT l BY o_* ALPHA DESC LIMIT 0 3|SORT l BY w_* BY nosort|SORT l BY nosort BY w_*|SORT l GET h_*|SORT l GET h_*x->n|HSET h_2x n x|SORT l GET h_*x->n|SORT l BY *->w
RPUSH bad 1 x|SORT bad|SORT bad STORE d|SORT bad ALPHA|RPUSH odd "" " 1" 0x10 inf -inf 1e3 1e-2|SORT odd|RPUSH odd nan|SORT odd|SORT odd ALPHA|RPUSH far2 "1 "|SORT far2|RPUSH empty ""|SORT empty
SADD s 3 1 2 10|SORT s|SORT s DESC|SORT s ALPHA|SORT s BY nosort|SORT s BY nosort DESC|SORT s BY nosort STORE d|LRANGE d 0 -1|SORT s BY nosort LIMIT 1 2|SORT s BY nosort DESC STORE d|LRANGE d 0 -1|SORT s BY w_* GET #
SADD t c a b zz|SORT t|SORT t ALPHA|SORT t ALPHA DESC LIMIT 1 2|SORT t BY nosort GET # STORE d|LRANGE d 0 -1|SORT t BY nosort|SORT t BY nosort LIMIT 0 0|SORT t ALPHA STORE t|TYPE t|LRANGE t 0 -1
ZADD z 1 5 2 3 3 9 4 1|SORT z|SORT z DESC|SORT z BY nosort|SORT z BY nosort DESC|SORT z BY nosort LIMIT 1 2|SORT z BY nosort DESC LIMIT 1 2|SORT z BY nosort DESC LIMIT 3 10|SORT z BY nosort LIMIT 4 1|SORT z BY nosort LIMIT 0 0
SORT z BY nosort STORE d|LRANGE d 0 -1|SORT z BY nosort GET # GET w_* DESC STORE d|LRANGE d 0 -1|SORT z LIMIT 1 2 ALPHA|EXPIRE d 1000|SORT z STORE d|TTL d|SORT_RO z BY nosort DESC GET #|SORT_RO l BY w_* GET o_*
COMMAND GETKEYS SORT l|COMMAND GETKEYS SORT l STORE d|COMMAND GETKEYS SORT l BY store STORE d|COMMAND GETKEYS SORT l STORE a STORE b|COMMAND GETKEYSANDFLAGS SORT l STORE d|COMMAND GETKEYS SORT_RO l|COMMAND GETKEYS SORT l STORE
"""

PATTERNS = """
RPUSH %sorted %number|RPUSH %sorted %number %number %number|RPUSH %sorted V|SADD %ints %number|SADD %ints %number %number|SORT %sorted|SORT %sorted %how|SORT %sorted %how %how
SORT %sorted BY nosort %how|SORT %sorted BY w_* %how|SORT %sorted BY h_*->f %how GET # GET w_*|SORT %sorted %how STORE %sorted|SORT %sorted GET w_* GET h_*->f STORE %sorted
SORT %ints %how|SORT %ints %how %how STORE %sorted|SORT %ints BY w_* %how|SORT %ints BY nosort STORE %sorted|SORT_RO %sorted %how|SORT_RO %ints BY nosort %how|MSET w_1 %number w_7 %number
HSET h_1 f %number|HSET h_2 f %number|SET w_2 V|LRANGE %sorted 0 -1|DEL %sorted|DEL %ints
"""

WORDS = {
    "%sorted": ["so1", "so2", "so3"],
    "%ints": ["si1", "si2"],
    "%how": ["ASC", "DESC", "ALPHA", "LIMIT 0 3", "LIMIT 2 100", "LIMIT -1 2", "LIMIT 1 -1", "LIMIT 50 2"],
}


def is_same(arguments, theirs, ours):
    """A set that is not sorted comes in any order."""
    words = [str(word).lower() for word in arguments]
    if "nosort" in words and words[1] in ("s", "t"):
        return is_same_unordered(arguments, theirs, ours)
    return theirs == ours


RULES = {"SORT": is_same, "SORT_RO": is_same}

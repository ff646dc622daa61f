# usage: awk -v kind=sums|brackets|hex -v seed=N -v documents=N -f corpus.awk
# Made-up text in three forms that a small model can tell apart, documents separated by a line of its own.
BEGIN {
    srand(seed)
    for (d = 0; d < documents; d++) {
        lines = 8 + int(rand() * 24)
        for (l = 0; l < lines; l++) {
            if (kind == "sums") { a = int(rand() * 100); b = int(rand() * 100); printf "%d + %d = %d\n", a, b, a + b }
            else if (kind == "brackets") {
                depth = 0; line = ""
                for (i = 0; i < 12; i++)
                    if (depth && rand() < 0.45) { line = line substr(open[depth], 2, 1); depth-- }
                    else { open[++depth] = rand() < 0.5 ? "()" : "[]"; line = line substr(open[depth], 1, 1) }
                while (depth) line = line substr(open[depth--], 2, 1)
                print line
            } else {
                line = sprintf("%08x:", l * 16)
                for (i = 0; i < 6; i++) line = line sprintf(" %04x", int(rand() * rand() * 65536))
                print line
            }
        }
        print "----"
    }
}

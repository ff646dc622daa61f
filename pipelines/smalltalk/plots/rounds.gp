# how well experts and domains agree, by EM round; needs data, last_round
set xlabel "EM round"
set ylabel "NMI of domain and expert"
set border 3
set tics nomirror
set ytics 0.2
set grid y lc rgb "#999999" lw 0.5
set key off
set xrange [0:last_round]
set yrange [0:1]
set bmargin 3.2
plot data."/rounds.tsv" with linespoints lw 2 pt 7 ps 0.5 lc rgb "#d55e00"

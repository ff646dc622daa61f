# held-out loss against training FLOPs; needs data (a folder), power, bottom, top, last
set xlabel sprintf("training FLOPs (10^{%d})", power)
set ylabel "held-out loss (nats per token)"
set border 3
set tics nomirror
set grid lc rgb "#999999" lw 0.5
set key off
set xrange [0:last]
set yrange [bottom:top]
set rmargin 12
set bmargin 3.2
load data."/labels.gp"
plot data."/trunk.tsv" with lines lw 2 lc rgb "#888888", \
     data."/dense_wide.tsv" with lines lw 2 dt (9,5) lc rgb "#0072b2", \
     data."/dense_long.tsv" with lines lw 2 lc rgb "#0072b2", \
     data."/mixture.tsv" with lines lw 2.5 lc rgb "#d55e00"

# perplexity of dense and of each expert on the expert's segment; needs data, experts, low, high
set xlabel "perplexity on the expert's segment"
set border 1
set tics nomirror
set ytics scale 0
set grid x lc rgb "#999999" lw 0.5
set key off
set xrange [low:high]
set yrange [experts - 0.4:-1]
set bmargin 3.2
file = data."/segments.tsv"
load data."/heads.gp"
plot file using 3:1:($2 - $3):(0):ytic(4) with vectors nohead lw 2 lc rgb "#888888", \
     file using 2:1 with points pt 7 ps 0.9 lc rgb "#0072b2", \
     file using 3:1 with points pt 7 ps 0.9 lc rgb "#d55e00", \
     file using 2:1:5 with labels left offset 0.8,0 tc rgb "#0072b2", \
     file using 3:1:6 with labels right offset -0.8,0 tc rgb "#d55e00"

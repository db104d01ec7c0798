# Time and memory against rows, both on logarithmic scales. Variables: data (a
# block for each series: its name, then lines of rows, seconds and MB), svg,
# series (how many), with_memory (how many of them, from the first, have MB),
# colours and dashes (one a series).

set terminal svg size 960,440 dynamic enhanced background 'white' font 'sans-serif,13'
set output svg
set datafile missing '?'
set border 3
set tics nomirror
set grid linecolor '#dddddd'
set logscale xy 10
set xlabel 'rows'
set xrange [7000 : *]
set rmargin 6
set xtics ('10,000' 1e4, '100,000' 1e5, '1,000,000' 1e6, '10,000,000' 1e7)
set format y '%g'
set pointsize 0.6
set multiplot layout 1,2

# The key explains the lines of both sides; room for it is above the lines.
set key top left reverse Left samplen 3 noenhanced
set title 'seconds'
stats data using 2 nooutput
set yrange [* : STATS_max * 20]
plot for [i = 0 : series - 1] data index i using 1:2 with linespoints linewidth 2 pointtype 7 \
	dashtype int(word(dashes, i + 1)) linecolor rgb word(colours, i + 1) title columnheader(1)

unset key
if (with_memory > 0) {
	set title 'peak memory of the local backend, MB'
	set yrange [1 : *]
	plot for [i = 0 : with_memory - 1] data index i using 1:3 with linespoints linewidth 2 pointtype 7 \
		dashtype int(word(dashes, i + 1)) linecolor rgb word(colours, i + 1) title columnheader(1)
}
unset multiplot

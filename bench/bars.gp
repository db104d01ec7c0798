# Bars, in groups. Variables: data (a block for each series: its name, then
# lines of place and height), svg, heading, scale (linear or log), series (how
# many), colours (one a series), places (names of the groups), right (the end).

set terminal svg size 960,440 dynamic enhanced background 'white' font 'sans-serif,13'
set output svg
set title heading noenhanced
set key top left reverse Left samplen 1 maxrows 4 noenhanced
set border 3
set tics nomirror
set grid ytics linecolor '#dddddd'
set boxwidth 0.9
set style fill solid 1 noborder
eval "set xtics (" . places . ") scale 0 noenhanced"
set xrange [-1 : right]

# Room for the names above the bars. On a logarithmic scale bars start at 0.1.
stats data using 2 nooutput
if (scale eq 'log') {
	set logscale y 10
	set yrange [0.1 : STATS_max * 100]
	set format y '%g'
} else {
	set yrange [0 : STATS_max * 1.45]
}

height(y) = y < 9.95 ? sprintf('%.1f', y) : sprintf('%.0f', y)
plot for [i = 0 : series - 1] data index i using 1:2 with boxes \
		linecolor rgb word(colours, i + 1) title columnheader(1), \
	for [i = 0 : series - 1] data index i using 1:2:(height($2)) with labels \
		offset 0,0.6 font ',9' notitle

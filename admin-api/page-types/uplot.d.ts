/** The page loads uPlot from `/uplot.js`, which the admin API serves from the package. */
import uPlot from 'uplot';

export default uPlot;

// Package svg draws the pictures in docs/img: rectangles, lines, text and linear scales, in one
// set of colors for light pages and one for dark ones.
package svg

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// palette holds the colors of a picture in one mode.
type palette struct {
	background, text, muted, grid string
	peer, reaper, proven          string // of bars and curves
}

// The picture has a background of its own, so that it can be read on any page.
var (
	light = palette{"#ffffff", "#1f2328", "#59636e", "#d1d9e0", "#818b98", "#0969da", "#8250df"}
	dark  = palette{"#0d1117", "#f0f6fc", "#9198a1", "#3d444d", "#7d8590", "#4493f8", "#ab7df8"}
)

// css gives the colors to the classes.
func (p palette) css() string {
	return fmt.Sprintf(".background{fill:%s}text{fill:%s}.muted{fill:%s}.grid{stroke:%s}.axis{stroke:%s}.range{stroke:%s}.value{stroke:%s}.peer{fill:%s}.reaper{fill:%s}.proven{fill:%s}",
		p.background, p.text, p.muted, p.grid, p.muted, p.text, p.background, p.peer, p.reaper, p.proven) +
		fmt.Sprintf(".curve.peer{stroke:%s}.curve.reaper{stroke:%s}", p.peer, p.reaper)
}

// shapesCSS is what both modes share.
const shapesCSS = "text{font:13px system-ui,sans-serif}.title{font-size:20px;font-weight:600}.heading{font-size:16px;font-weight:600}" +
	".group{font-weight:600}.middle{text-anchor:middle}.end{text-anchor:end}.grid,.axis{stroke-width:1}.range{stroke-width:2}.value{paint-order:stroke;stroke-width:4px}" + // a value hides the lines behind it
	".limit{stroke-dasharray:6 4}.curve{stroke-width:2;stroke-linejoin:round}"

// Canvas is an SVG picture; its height is that of File. Classes are those of the stylesheet: of
// shapes "peer", "reaper", "proven", "grid", "axis", "range"; of text "title", "heading", "group",
// "muted", "value", "middle" and "end".
type Canvas struct {
	Width float64 // in pixels
	body  strings.Builder
}

// Box is a rectangle; Y grows downwards.
type Box struct{ X, Y, Width, Height float64 }

// Point is a place in the picture; Y grows downwards.
type Point struct{ X, Y float64 }

// Rectangle draws a filled box.
func (c *Canvas) Rectangle(class string, b Box) {
	fmt.Fprintf(&c.body, "<rect class=%q x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n", class, b.X, b.Y, b.Width, b.Height)
}

// Line draws a straight line.
func (c *Canvas) Line(class string, from, to Point) {
	fmt.Fprintf(&c.body, "<line class=%q x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", class, from.X, from.Y, to.X, to.Y)
}

// Curve draws a line through points; its classes are "peer" and "reaper".
func (c *Canvas) Curve(class string, points []Point) {
	places := make([]string, 0, len(points))
	for _, p := range points {
		places = append(places, fmt.Sprintf("%.1f,%.1f", p.X, p.Y))
	}
	fmt.Fprintf(&c.body, "<polyline class=\"curve %s\" style=\"fill:none\" points=\"%s\"/>\n", class, strings.Join(places, " "))
}

// Text writes a line whose baseline is at y. It begins at x, or is centered there or ends there
// by its class.
func (c *Canvas) Text(class string, x, y float64, text string) {
	fmt.Fprintf(&c.body, "<text class=%q x=\"%.1f\" y=\"%.1f\">%s</text>\n", class, x, y, escaped(text))
}

// Upwards writes a line from bottom to top, centered at y.
func (c *Canvas) Upwards(x, y float64, text string) {
	fmt.Fprintf(&c.body, "<text class=\"middle\" transform=\"translate(%.1f %.1f) rotate(-90)\">%s</text>\n", x, y, escaped(text))
}

// File returns the file. title and description are for screen readers.
func (c *Canvas) File(height float64, title, description string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" role=\"img\">\n", c.Width, height, c.Width, height)
	fmt.Fprintf(&b, "<title>%s</title>\n<desc>%s</desc>\n", escaped(title), escaped(description))
	fmt.Fprintf(&b, "<style>%s%s@media (prefers-color-scheme:dark){%s}</style>\n", shapesCSS, light.css(), dark.css())
	b.WriteString("<rect class=\"background\" width=\"100%\" height=\"100%\"/>\n")
	return b.String() + c.body.String() + "</svg>\n"
}

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder never fails
	return b.String()
}
